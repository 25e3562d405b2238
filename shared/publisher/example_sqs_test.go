package publisher_test

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
)

// sqsServer is as much of SQS as the examples need.
type sqsServer struct {
	*httptest.Server
	queueURL string

	mu     sync.Mutex
	events []event
	down   bool // answers 503
}

type event struct{ UserID, Event, MessageID string }

func startSQS() *sqsServer {
	s := &sqsServer{}
	s.Server = httptest.NewServer(s)
	s.queueURL = s.URL + "/123456789012/spillway-events"
	return s
}

func (s *sqsServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	var call struct {
		Entries []struct{ ID, MessageBody string }
	}
	err := json.NewDecoder(r.Body).Decode(&call)
	switch {
	case s.down || err != nil:
		w.WriteHeader(http.StatusServiceUnavailable)
	case strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetQueueAttributes"):
		_, _ = w.Write([]byte(`{"Attributes":{}}`))
	default:
		var taken []map[string]string
		for _, entry := range call.Entries {
			var body struct{ Batch []event }
			if err := json.Unmarshal([]byte(entry.MessageBody), &body); err != nil {
				panic(err)
			}
			s.events = append(s.events, body.Batch...)
			sum := md5.Sum([]byte(entry.MessageBody))
			taken = append(taken,
				map[string]string{"Id": entry.ID, "MessageId": entry.ID, "MD5OfMessageBody": hex.EncodeToString(sum[:])})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"Successful": taken})
	}
}

// print prints the events that the queue has.
func (s *sqsServer) print() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		fmt.Println("SQS has:", e.UserID, e.Event)
	}
}

func (s *sqsServer) setDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}
