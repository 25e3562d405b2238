package deliver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/spillwayhq/spillway/shared/envelope"
	"github.com/spillwayhq/spillway/shared/letter"
	"github.com/spillwayhq/spillway/shared/queue"
	"github.com/spillwayhq/spillway/shared/segment"
)

// fakeSQS is a standard queue: at least once, in no order, with visibility and receive counts.
type fakeSQS struct {
	mu       sync.Mutex
	rng      *rand.Rand
	messages map[string]*stored
}

type stored struct {
	in
	visible time.Time
	handle  string
}

// visibility is what the deployment sets: six times the function's 60 s, and the window of 1 s.
const visibility = 361 * time.Second

func (q *fakeSQS) receive(most int) (got []in) {
	q.mu.Lock()
	defer q.mu.Unlock()
	ids := slices.Sorted(maps.Keys(q.messages))
	q.rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	for _, id := range ids {
		m := q.messages[id]
		if len(got) == most || m.visible.After(time.Now()) {
			continue
		}
		m.receives++
		m.handle = "r-" + id
		m.visible = time.Now().Add(visibility)
		got = append(got, m.in)
	}
	return got
}

func (q *fakeSQS) delete(ids []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, id := range ids {
		delete(q.messages, id)
	}
}

func (q *fakeSQS) Hide(_ context.Context, hidden []queue.Hidden) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.rng.IntN(20) == 0 {
		return errors.New("SQS is away")
	}
	for _, h := range hidden {
		if m := q.messages[strings.TrimPrefix(h.ReceiptHandle, "r-")]; m != nil {
			m.visible = time.Now().Add(h.For)
		}
	}
	return nil
}

func (q *fakeSQS) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.messages)
}

// moody is a Segment that fails in every way it can until a time, and afterwards refuses only what is poisonous or too large.
type moody struct {
	mu     sync.Mutex
	rng    *rand.Rand
	until  time.Time
	most   int // events of a batch; more is answered 413
	took   map[string]string
	events int
	errs   []error
}

func (s *moody) Flush(ctx context.Context, b *segment.Batch) error {
	s.mu.Lock()
	mood, latency := s.rng.IntN(12), time.Duration(1+s.rng.IntN(400))*time.Millisecond
	s.mu.Unlock()
	if time.Now().After(s.until) {
		mood = 11
	}
	if mood == 0 { // hangs
		latency = 10 * time.Second
	}
	select {
	case <-time.After(latency):
	case <-ctx.Done():
		return &segment.Error{Class: segment.Transient, Err: ctx.Err()}
	}
	err := &segment.Error{Status: []int{0, 503, 429, 401, 500, 0}[min(mood, 5)]}
	switch mood {
	case 0, 1, 2, 3, 4:
		err.Class = segment.Transient
		if err.Status != 0 {
			err.Class = segment.Classify(err.Status)
		}
		err.RetryAfter = time.Duration(latency % 3 * 20 * time.Second)
		return err
	}
	if len(b.Events) > s.most {
		return status(413)
	}
	for _, e := range b.Events {
		if strings.Contains(string(e), "poison") {
			return status(400)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range b.Events {
		var event struct {
			MessageID string `json:"messageId"`
		}
		if err := json.Unmarshal(e, &event); err != nil {
			s.errs = append(s.errs, err)
		}
		if before, ok := s.took[event.MessageID]; ok && before != string(e) {
			s.errs = append(s.errs, fmt.Errorf("%s comes as %s and then as %s", event.MessageID, before, e))
		}
		s.took[event.MessageID] = string(e)
		s.events++
	}
	if mood == 5 { // it has them, and nobody learns of it
		return &segment.Error{Class: segment.Transient, Err: errors.New("connection reset by peer")}
	}
	return nil
}

// world fills a queue and says, by messageId, what must be delivered and what must become a dead letter.
func world(t *testing.T, rng *rand.Rand, q *fakeSQS) (good, bad map[string]string) {
	good, bad = map[string]string{}, map[string]string{}
	poison := 0
	begin := time.Now()
	compressor, err := envelope.NewCompressor()
	if err != nil {
		t.Fatal(err)
	}
	const stamp = "2006-01-02T15:04:05.000Z"
	for i := range 8 + rng.IntN(20) {
		id := fmt.Sprintf("m%03d", i)
		var texts []string
		for e := range 1 + rng.IntN(1+rng.IntN(40)) {
			name := fmt.Sprintf("%s-%d", id, e) // what the handler calls it, if it has to
			event := track(name, 160+rng.IntN(200))
			target := good
			switch k := rng.IntN(40); {
			case k == 0 && poison < MaxCulprits:
				poison++
				event, target = strings.Replace(event, `"Run"`, `"poison"`, 1), bad
			case k == 1:
				event, target = strings.Replace(event, `"track"`, `"tick"`, 1), bad
			}
			target[name] = event
			if rng.IntN(3) == 0 {
				identity := `"messageId":"` + name + `","timestamp":"` + begin.UTC().Format(stamp) + `",`
				without := strings.Replace(event, `"messageId":"`+name+`","timestamp":"2026-11-01T00:00:00.000Z",`, "", 1)
				event, target[name] = without, `{`+identity+without[1:]
			}
			texts = append(texts, event)
		}
		text := body([]string{keyA, keyB, ""}[rng.IntN(3)], texts...)
		switch {
		case rng.IntN(25) == 0:
			text = "unreadable " + id
			for e := range texts {
				name := fmt.Sprintf("%s-%d", id, e)
				if strings.Contains(good[name]+bad[name], `"poison"`) {
					poison--
				}
				delete(good, name)
				delete(bad, name)
			}
			bad[id] = text
		case rng.IntN(2) == 0:
			text = compressor.Compress([]byte(text))
		}
		q.messages[id] = &stored{in: in{id: id, body: text, sent: begin}, visible: begin}
	}
	return good, bad
}

func TestWhatIsAcceptedIsDeliveredOrADeadLetter(t *testing.T) {
	seeds := uint64(200)
	if testing.Short() {
		seeds = 20
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 42))
			q := &fakeSQS{rng: rand.New(rand.NewPCG(seed, 1)), messages: map[string]*stored{}}
			good, bad := world(t, rng, q)
			s := &moody{rng: rand.New(rand.NewPCG(seed, 2)), until: time.Now().Add(time.Duration(rng.IntN(180)) * time.Minute), most: 20 + rng.IntN(500), took: map[string]string{}}
			letters := &fakeQueue{}
			var mu sync.Mutex
			dice := rand.New(rand.NewPCG(seed, 3))
			chance := func(n int) bool {
				mu.Lock()
				defer mu.Unlock()
				return dice.IntN(n) == 0
			}
			letters.send = func(_ context.Context, m []queue.Message) error {
				switch {
				case chance(6):
					return errors.New("SQS is away")
				case chance(6):
					return &queue.SendError{URL: "u", Failed: map[int]error{len(m) / 2: errors.New("InternalError")}}
				}
				return nil
			}
			end := time.Now().Add(24 * time.Hour)
			var environments sync.WaitGroup
			for range 3 {
				h, err := New(Config{Segment: s, Queue: q, DeadLetters: letters, WriteKey: keyA, Report: func(sum Summary) {
					if err := balanced(&sum); err != nil {
						t.Error(err)
					}
				}})
				if err != nil {
					t.Fatal(err)
				}
				environments.Go(func() {
					for q.len() > 0 && time.Now().Before(end) {
						got := q.receive(10)
						if len(got) == 0 {
							time.Sleep(20 * time.Second)
							continue
						}
						ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
						out, err := h.Invoke(ctx, payload(t, got...))
						if err != nil || ctx.Err() != nil {
							t.Errorf("Invoke: %v, %v", err, ctx.Err())
						}
						cancel()
						if chance(30) { // the environment dies before Lambda has its answer
							continue
						}
						var response events.SQSEventResponse
						if err := json.Unmarshal(out, &response); err != nil {
							t.Error(err)
						}
						done := []string{}
						for _, m := range got {
							if !slices.ContainsFunc(response.BatchItemFailures, func(f events.SQSBatchItemFailure) bool { return f.ItemIdentifier == m.id }) {
								done = append(done, m.id)
							}
						}
						q.delete(done)
					}
				})
			}
			environments.Wait()
			for _, err := range s.errs {
				t.Error(err)
			}
			if n := q.len(); n > 0 {
				t.Errorf("%d messages are still in the queue after a day", n)
			}
			if !maps.Equal(s.took, good) {
				t.Errorf("%d events were delivered, %d should be", len(s.took), len(good))
			}
			dead, byID := map[string]string{}, map[string]string{}
			for _, l := range letters.letters {
				id := attr(l, letter.AttrID)
				if before, ok := byID[id]; ok && before != l.Body {
					t.Errorf("letter %s is once %s and once %s", id, before, l.Body)
				}
				byID[id] = l.Body
				if attr(l, letter.AttrReason) == envelope.Undecodable {
					dead[id] = l.Body
					continue
				}
				for _, e := range letterEvents(t, l) {
					var event struct {
						MessageID string `json:"messageId"`
					}
					if err := json.Unmarshal([]byte(e), &event); err != nil {
						t.Error(err)
					}
					dead[event.MessageID] = e
				}
			}
			if !maps.Equal(dead, bad) {
				t.Errorf("%d events are dead letters, %d should be", len(dead), len(bad))
			}
		})
		if t.Failed() {
			t.Fatal("seed " + strconv.FormatUint(seed, 10))
		}
	}
}
