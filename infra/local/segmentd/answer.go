package segmentd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"
)

const (
	successBody = `{"success":true}`
	loginPath   = adminPrefix + "login"
	loginBody   = "<!doctype html><title>Log in</title><form method=post><input name=user><input name=password " +
		"type=password></form>\n"
)

// answer waits and answers as Segment would, or as the script says. It returns the status, or 0 if
// the client got no whole answer.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, p plan, status int, refusal *refusal) int {
	sleep(r.Context(), s.latency+p.latency)
	switch p.fault() {
	case FaultReset:
		abortAnswer(w, errReset())
		return 0
	case FaultHang:
		<-r.Context().Done()
		abortAnswer(w, r.Context().Err())
		return 0
	case FaultRedirect:
		w.Header().Set("Location", loginPath)
		return answerBody(w, http.StatusFound, "text/html; charset=utf-8", "")
	case FaultLoginPage:
		return answerBody(w, http.StatusOK, "text/html; charset=utf-8", loginBody)
	}
	body := successBody
	switch {
	case p.status != 0:
		status = p.status
		if status/100 != 2 {
			body = errorBody("scripted", fmt.Sprintf("the script answers %d", status))
		}
		setRetryAfter(w.Header(), p, status)
	case refusal != nil:
		body = errorBody(refusal.code, refusal.message)
	}
	if status == http.StatusNoContent || status == http.StatusNotModified {
		body = "" // HTTP allows no body
	}
	switch p.fault() {
	case FaultSlowBody:
		return answerSlowly(r.Context(), w, status, body, time.Duration(p.rule.Over))
	case FaultHalfAnswer:
		answerHalf(w, status, body)
		return 0
	}
	return answerBody(w, status, "application/json", body)
}

func setRetryAfter(h http.Header, p plan, status int) {
	if p.wait == 0 {
		return
	}
	h.Set("Retry-After", p.rule.retryAfter(time.Now(), p.wait))
	if status == http.StatusTooManyRequests {
		h.Set("X-RateLimit-Reset", strconv.FormatInt(int64(p.wait/time.Second), 10))
	}
}

// answerBody writes a whole answer. It ignores a failed write: the client is gone.
func answerBody(w http.ResponseWriter, status int, contentType, body string) int {
	startAnswer(w, status, contentType, body)
	_, _ = io.WriteString(w, body)
	return status
}

func startAnswer(w http.ResponseWriter, status int, contentType, body string) {
	h := w.Header()
	if body != "" {
		h.Set("Content-Type", contentType)
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
}

func answerError(w http.ResponseWriter, status int, code, message string) int {
	return answerBody(w, status, "application/json", errorBody(code, message))
}

func errorBody(code, message string) string {
	body, err := json.Marshal(struct {
		Success bool   `json:"success"`
		Code    string `json:"code"`
		Message string `json:"message"`
	}{false, code, message})
	if err != nil {
		return `{"success":false}` // strings always marshal
	}
	return string(body)
}

// answerSlowly sends the body byte by byte, evenly over the time. It returns 0 if the client did not
// wait for the whole body.
func answerSlowly(ctx context.Context, w http.ResponseWriter, status int, body string, over time.Duration) int {
	startAnswer(w, status, "application/json", body)
	flush(w)
	for i := range len(body) {
		sleep(ctx, over/time.Duration(len(body)))
		if _, err := io.WriteString(w, body[i:i+1]); err != nil {
			return 0
		}
		flush(w)
	}
	return status
}

func answerHalf(w http.ResponseWriter, status int, body string) {
	startAnswer(w, status, "application/json", body)
	_, _ = io.WriteString(w, body[:len(body)/2])
	flush(w)
	// No reset: it could overtake the first half. The declared length tells the client that the rest
	// is missing.
	if a, ok := w.(aborter); ok {
		a.abort(io.ErrUnexpectedEOF)
		return
	}
	panic(http.ErrAbortHandler)
}

func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

// sleep waits for d, or until the client gives up or the server stops.
func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// aborter is a ResponseWriter that can end an answer with an error: that of HTTPClient.
type aborter interface{ abort(error) }

// errReset is what a client sees of a connection that the other side has reset.
func errReset() error {
	return &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
}

// abortAnswer ends the connection without an answer. Over TCP it sends a reset, which a plain close
// does not reliably do. HTTP/2 can't be hijacked; there the stream is reset.
func abortAnswer(w http.ResponseWriter, err error) {
	if a, ok := w.(aborter); ok {
		a.abort(err)
		return
	}
	conn, _, hijackErr := http.NewResponseController(w).Hijack()
	if hijackErr != nil {
		panic(http.ErrAbortHandler)
	}
	raw := conn
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok { // TLS
		raw = t.NetConn()
	}
	if tcp, ok := raw.(interface{ SetLinger(seconds int) error }); ok {
		_ = tcp.SetLinger(0) // close sends RST instead of FIN
	}
	_ = raw.Close()
}
