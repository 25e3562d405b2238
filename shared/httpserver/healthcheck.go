package httpserver

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// HealthPath is where a server of Spillway answers whether it is healthy.
const HealthPath = "/health"

const (
	// healthPatience is less than the 5 s or more after which those who run containers give up
	// themselves, so that it is the check that says why.
	healthPatience = 3 * time.Second
	maxHealth      = 1 << 10 // bytes of an answer that are read
)

// CheckHealth asks the server at a base URL, like http://127.0.0.1:8080, whether it is healthy, and
// returns what it says, a line of at most 1 KB. It waits 3 s for the answer. The error is what the
// server says is wrong, or why it could not be asked.
//
// It uses no proxy and follows no redirection: a check of another server would say nothing about
// this one. It is safe for concurrent use.
func CheckHealth(ctx context.Context, base string) (said string, err error) {
	url := strings.TrimSuffix(base, "/") + HealthPath
	patient, cancel := context.WithTimeout(ctx, healthPatience)
	defer cancel()
	request, err := http.NewRequestWithContext(patient, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := transport.RoundTrip(request)
	if err == nil {
		defer answer.Body.Close()
		var body []byte
		body, err = io.ReadAll(io.LimitReader(answer.Body, maxHealth))
		said = strings.TrimSpace(string(body))
	}
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case patient.Err() != nil:
		return "", fmt.Errorf("%s has not answered within %v: the process is stopped or overloaded", url, healthPatience)
	case err != nil:
		return "", fmt.Errorf("%s can't be asked: %w", url, err)
	case answer.StatusCode != http.StatusOK:
		return "", fmt.Errorf("%s answers %s: %s", url, answer.Status, said)
	}
	return said, nil
}

// Local is the base URL at which a process of this machine reaches a server that listens at an
// address as of [net.Listen]: one of all addresses is reached at a loopback address.
func Local(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // all addresses of IPv6 include those of IPv4, as Go listens
	}
	return "http://" + net.JoinHostPort(host, port), nil
}
