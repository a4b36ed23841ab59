// The peer in Go: net/http. Since Go 1.25 GOMAXPROCS follows the CPU quota; it stops gracefully on SIGTERM.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

const (
	nDefault   = 30
	nMax       = 40
	stopWithin = 30 * time.Second
)

type answer struct {
	N         int    `json:"n"`
	Result    uint64 `json:"result"`
	ElapsedUs int64  `json:"elapsed_us"`
}

func fib(n int) uint64 {
	if n < 2 {
		return uint64(n)
	}
	return fib(n-1) + fib(n-2)
}

func compute(w http.ResponseWriter, r *http.Request) {
	n := nDefault
	if text := r.URL.Query().Get("n"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 0 || n > nMax {
			http.Error(w, "n is a whole number from 0 to "+strconv.Itoa(nMax), http.StatusBadRequest)
			return
		}
	}
	start := time.Now()
	result := fib(n)
	elapsed := time.Since(start)
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(answer{n, result, elapsed.Microseconds()})
}

func health(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusOK)
}

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /compute", compute)
	mux.HandleFunc("GET /health", health)
	server := &http.Server{Addr: ":" + port, Handler: mux, ReadHeaderTimeout: 10 * time.Second}

	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	stopped := make(chan error, 1)
	go func() {
		<-stop.Done()
		within, cancel := context.WithTimeout(context.Background(), stopWithin)
		defer cancel()
		stopped <- server.Shutdown(within)
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	if err := <-stopped; err != nil {
		log.Fatal(err)
	}
}
