/* main: the program fibcgi is the compute application and the server. */
#include "compute.h"
#include "server.h"

int main(int argc, char **argv)
{
    return server_main(argc, argv, &compute_app);
}
