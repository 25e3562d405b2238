package oracle

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/shared/segment"
)

// What Segment takes (Segment documentation, "HTTP API Source": 500 KB a request, 32 KB an event),
// in the smaller reading of KB for the request.
const (
	maxRequestBytes  = 500_000
	maxRequestEvents = 2500
	maxEventBytes    = 32 << 10
)

// segmentSide is between the function and Segment. It checks each request, and gives half an answer
// in Segment's place.
type segmentSide struct {
	http.RoundTripper
	*faults
	ledger *ledger
}

func (s segmentSide) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	r.Body.Close()
	if err != nil {
		return nil, err
	}
	if err := checkRequest(r, body); err != nil {
		s.ledger.complain("a request to Segment: %w", err)
	}
	if s.happens("Segment's answer cut", s.segmentCut) {
		cut := io.MultiReader(strings.NewReader(`{"success"`), failingReader{})
		return &http.Response{StatusCode: 200, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{}, ContentLength: 16, Body: io.NopCloser(cut), Request: r}, nil
	}
	ctx := r.Context()
	deadline, _ := ctx.Deadline()
	key, _, _ := r.BasicAuth()
	// Only those that the invocation's deadline would cut short: all that are under way then.
	late := key == endlessKey && time.Until(deadline) < segment.DefaultAttemptTimeout &&
		s.happens("answer at the last moment", 100)
	if late {
		ctx = context.WithoutCancel(ctx)
	}
	in := r.Clone(ctx)
	in.Body = io.NopCloser(bytes.NewReader(body))
	resp, err := s.RoundTripper.RoundTrip(in)
	if late {
		<-r.Context().Done() // what follows from this answer has no time left
	}
	return resp, err
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// checkRequest checks a request by Segment's limits, and that its sentAt is now: Segment shifts the
// events' times by it.
func checkRequest(r *http.Request, body []byte) error {
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return err
		}
		if body, err = io.ReadAll(z); err != nil {
			return err
		}
	}
	var batch struct {
		SentAt   time.Time
		WriteKey string
		Batch    []json.RawMessage
	}
	if err := json.Unmarshal(body, &batch); err != nil {
		return err
	}
	key, _, _ := r.BasicAuth()
	switch {
	case len(body) > maxRequestBytes:
		return fmt.Errorf("it has %d bytes, more than %d", len(body), maxRequestBytes)
	case len(batch.Batch) == 0 || len(batch.Batch) > maxRequestEvents:
		return fmt.Errorf("it has %d events, want 1 to %d", len(batch.Batch), maxRequestEvents)
	case key == "" || key != batch.WriteKey:
		return fmt.Errorf("it has the write keys %q and %q", key, batch.WriteKey)
	case batch.SentAt.Before(time.Now().Add(-time.Second)) || batch.SentAt.After(time.Now()):
		return fmt.Errorf("its sentAt is %v, the time is %v", batch.SentAt, time.Now())
	}
	for _, e := range batch.Batch {
		if len(e) > maxEventBytes {
			return fmt.Errorf("an event has %d bytes, more than %d", len(e), maxEventBytes)
		}
	}
	return nil
}
