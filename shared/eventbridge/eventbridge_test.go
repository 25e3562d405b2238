package eventbridge

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// bus answers calls, and keeps what they put.
type bus struct {
	answer string
	calls  []int // the number of events of each
	first  map[string]any
}

func (b *bus) open(t *testing.T) *Bus {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Entries []map[string]any }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.Header.Get("X-Amz-Target") != "AWSEvents.PutEvents" {
			t.Errorf("%v, target %s", err, r.Header.Get("X-Amz-Target"))
		}
		if b.first == nil {
			b.first = in.Entries[0]
		}
		b.calls = append(b.calls, len(in.Entries))
		_, _ = io.WriteString(w, b.answer)
	}))
	t.Cleanup(server.Close)
	return New(aws.Config{Region: "eu-west-1", BaseEndpoint: aws.String(server.URL),
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
}

func TestEventsAreOnTheBusInCallsOfTen(t *testing.T) {
	b := &bus{answer: `{"FailedEntryCount":0,"Entries":[{"EventId":"1"}]}`}
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	events := make([]Event, 12)
	for i := range events {
		events[i] = Event{At: at, Type: "Spillway.Test", Detail: map[string]int{"n": i}}
	}
	if err := b.open(t).Put(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if len(b.calls) != 2 || b.calls[0] != 10 || b.calls[1] != 2 || b.first["Source"] != "spillway" ||
		b.first["DetailType"] != "Spillway.Test" || b.first["Detail"] != `{"n":0}` || b.first["Time"] != float64(at.Unix()) {
		t.Errorf("calls of %v, first %v", b.calls, b.first)
	}
	if err := (&bus{}).open(t).Put(t.Context(), nil); err != nil {
		t.Errorf("without events: %v", err)
	}
}

func TestAnEventThatTheBusRefusesIsAnError(t *testing.T) {
	b := &bus{answer: `{"FailedEntryCount":1,"Entries":[{"EventId":"1"},{"ErrorCode":"ThrottlingException","ErrorMessage":"slow"}]}`}
	err := b.open(t).Put(t.Context(), []Event{{Type: "a"}, {Type: "b"}})
	if err == nil || !strings.Contains(err.Error(), "1 of 2 failed, the first with ThrottlingException: slow") {
		t.Errorf("%v", err)
	}
	if err := b.open(t).Put(t.Context(), []Event{{Detail: func() {}}}); err == nil {
		t.Error("a detail that is no JSON is no error")
	}
}
