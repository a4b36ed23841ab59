"""The peer in Python: Flask. As published it is run by itself (python app.py); gunicorn app:app is how it is deployed."""

import os
import time

from flask import Flask, jsonify, request

N_DEFAULT = 30
N_MAX = 40

app = Flask(__name__)


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


@app.get("/compute")
def compute():
    text = request.args.get("n", str(N_DEFAULT))
    n = int(text) if text.isdecimal() else None
    if n is None or n > N_MAX:
        return jsonify(error=f"n is a whole number from 0 to {N_MAX}"), 400
    start = time.perf_counter_ns()
    result = fib(n)
    elapsed_us = (time.perf_counter_ns() - start) // 1000
    return jsonify(n=n, result=result, elapsed_us=elapsed_us)


@app.get("/health")
def health():
    return "", 200


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=int(os.environ.get("PORT", "8080")))
