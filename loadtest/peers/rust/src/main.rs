//! The peer in Rust: Actix-Web 4. It has a worker for each CPU that its quota allows, and stops gracefully on SIGTERM.

use std::time::Instant;

use actix_web::{App, HttpResponse, HttpServer, Responder, get, web};
use serde::{Deserialize, Serialize};

const N_DEFAULT: u32 = 30;
const N_MAX: u32 = 40;

#[derive(Deserialize)]
struct Question {
    n: Option<u32>,
}

#[derive(Serialize)]
struct Answer {
    n: u32,
    result: u64,
    elapsed_us: u64,
}

fn fib(n: u32) -> u64 {
    if n < 2 {
        u64::from(n)
    } else {
        fib(n - 1) + fib(n - 2)
    }
}

#[get("/compute")]
async fn compute(question: web::Query<Question>) -> impl Responder {
    let n = question.n.unwrap_or(N_DEFAULT);
    if n > N_MAX {
        return HttpResponse::BadRequest().finish();
    }
    let start = Instant::now();
    let result = fib(n);
    let elapsed_us = start.elapsed().as_micros() as u64;
    HttpResponse::Ok().json(Answer {
        n,
        result,
        elapsed_us,
    })
}

#[get("/health")]
async fn health() -> impl Responder {
    HttpResponse::Ok().finish()
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::var("PORT")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(8080);
    HttpServer::new(|| App::new().service(compute).service(health))
        .bind(("0.0.0.0", port))?
        .run()
        .await
}
