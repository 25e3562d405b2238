package sqs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"go.uber.org/goleak"

	"github.com/spillwayhq/spillway/infra/local/sqs/store"
)

func entryOf(i int, body string) types.SendMessageBatchRequestEntry {
	return types.SendMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), MessageBody: &body}
}

func TestCloseEndsLongPollsAndLeavesNoGoroutine(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s, err := Open(Options{Dir: "data", FS: new(store.Mem), Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	q := queue(t, s, "events", nil)
	polled := make(chan error)
	go func() {
		_, err := q.Receive(context.Background(), 10, 20*time.Second)
		polled <- err
	}()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-polled; err == nil {
		t.Error("the poll ended without an error")
	}
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if _, err := s.CreateQueue("late", nil); err == nil {
		t.Error("a closed server created a queue")
	}
	q.Stats() // does not panic
}

func TestACancelledPollLosesNoMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{})
		q := queue(t, s, "events", nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := q.Receive(ctx, 10, 20*time.Second)
			done <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Fatalf("error %v", err)
		}
		sendBodies(t, q, "a")
		if got := drain(t, q); got["a"] != 1 {
			t.Fatalf("received %v", got)
		}
	})
}

// A busy loop would keep the bubble's clock from moving, and this test from ending.
func TestALongPollThatEndsDoesNotEndTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{})
		q := queue(t, s, "events", nil)
		start := time.Now()
		ended := make(chan time.Duration)
		for i := range 5 {
			go func() {
				if _, err := q.Receive(t.Context(), 10, time.Duration(10+i)*time.Second); err != nil {
					t.Error(err)
				}
				ended <- time.Since(start)
			}()
		}
		for i := range 5 {
			if at, want := <-ended, time.Duration(10+i)*time.Second; at != want {
				t.Errorf("a poll of %v ended after %v", want, at)
			}
		}
	})
}

func TestAWaitingPollGetsAMessageWhoseVisibilityTimeoutEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{})
		q := queue(t, s, "events", map[string]string{"VisibilityTimeout": "5"})
		start := time.Now()
		got := make(chan int)
		for range 3 {
			go func() {
				m, err := q.Receive(t.Context(), 10, 20*time.Second)
				if err != nil {
					t.Error(err)
				}
				got <- len(m)
			}()
		}
		synctest.Wait()
		sendBodies(t, q, "a")
		for i := range 3 { // each of them gets it, 5 s after the one before, which never deleted it
			if n, at := <-got, time.Since(start); n != 1 || at != time.Duration(i)*5*time.Second {
				t.Errorf("poll %d got %d messages after %v", i, n, at)
			}
		}
	})
}

// brokenPipe is a client that went away before the answer.
type brokenPipe struct{ header http.Header }

func (b brokenPipe) Header() http.Header       { return b.header }
func (brokenPipe) WriteHeader(int)             {}
func (brokenPipe) Write(p []byte) (int, error) { return 0, errors.New("broken pipe") }

func TestMessagesOfAnAnswerThatCantBeWrittenAreVisibleAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{})
		q := queue(t, s, "events", nil)
		sendBodies(t, q, "a")
		r := httptest.NewRequest(http.MethodPost, "http://localhost/",
			strings.NewReader(`{"QueueUrl":"http://localhost/0/events"}`))
		r.Header.Set("X-Amz-Target", "AmazonSQS.ReceiveMessage")
		s.ServeHTTP(brokenPipe{http.Header{}}, r)
		ms, err := q.Receive(t.Context(), 1, 0)
		if err != nil || len(ms) != 1 || ms[0].Attributes["ApproximateReceiveCount"] != "1" {
			t.Fatalf("%+v, %v: want the message, as if never received", ms, err)
		}
	})
}

func TestAtTheInFlightLimitAShortPollFailsAndALongPollIsEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{inFlightLimit: 2})
		q := queue(t, s, "events", map[string]string{"VisibilityTimeout": "60"})
		sendBodies(t, q, "a", "b", "c")
		if ms, err := q.Receive(t.Context(), 10, 0); err != nil || len(ms) != 2 {
			t.Fatalf("%d messages, %v", len(ms), err)
		}
		_, err := sdk(s).ReceiveMessage(t.Context(),
			&sqs.ReceiveMessageInput{QueueUrl: aws.String("http://localhost/0/events")})
		if _, ok := errors.AsType[*types.OverLimit](err); !ok {
			t.Fatalf("short poll: %v, want OverLimit", err)
		}
		if ms, err := q.Receive(t.Context(), 10, 20*time.Second); err != nil || len(ms) != 0 {
			t.Fatalf("long poll: %d messages, %v", len(ms), err)
		}
		time.Sleep(41 * time.Second)
		if ms, err := q.Receive(t.Context(), 10, 0); err != nil || len(ms) != 2 {
			t.Fatalf("after the timeout: %d messages, %v", len(ms), err)
		}
	})
}

func TestStatsAddUpTheCountAttributeAndSurviveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := new(store.Mem)
		o := Options{Dir: "data", FS: fs, CountAttribute: "Event-Count", Logger: quiet()}
		s := open(t, o)
		q := queue(t, s, "events", nil)
		start := time.Now()
		for _, n := range []string{"250", "-3", "1e3", "99999999"} { // the last three are not counts
			e, _, err := newEntry(q, messageInput{MessageBody: "x",
				MessageAttributes: map[string]attributeValue{"Event-Count": {DataType: "Number", StringValue: &n}}})
			if err != nil {
				t.Fatal(err)
			}
			if err := q.send([]*entry{e}); err != nil {
				t.Fatal(err)
			}
		}
		sendBodies(t, q, "without")
		want := Stats{Visible: 5, Events: 254, Sent: 5, SentEvents: 254, OldestSent: start}
		if st := q.Stats(); !st.OldestSent.Equal(start) || st.Visible != want.Visible || st.Events != want.Events ||
			st.Sent != 5 || st.SentEvents != 254 {
			t.Fatalf("%+v, want %+v", st, want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		q2, _ := open(t, o).Queue("events")
		if st := q2.Stats(); st.Visible != 5 || st.Events != 254 || st.Sent != 0 || !st.OldestSent.Equal(start) {
			t.Fatalf("after the restart %+v", st)
		}
		drain(t, q2)
		if st := q2.Stats(); st.Events != 0 || st.Deleted != 5 || st.DeletedEvents != 254 || !st.OldestSent.IsZero() {
			t.Fatalf("after the drain %+v", st)
		}
	})
}

func TestCreateQueueSetsTheAttributesOfAnExistingQueue(t *testing.T) {
	s := open(t, Options{})
	first := queue(t, s, "events", map[string]string{"VisibilityTimeout": "30"})
	second := queue(t, s, "events", map[string]string{"VisibilityTimeout": "361"})
	if first != second || first.attributes()["VisibilityTimeout"] != "361" ||
		first.ARN() != "arn:aws:sqs:us-east-1:000000000000:events" {
		t.Fatalf("%v", first.attributes())
	}
}

func TestFIFOQueuesAndUnknownActionsAreRefused(t *testing.T) {
	s := open(t, Options{})
	for name, attributes := range map[string]map[string]string{"a.fifo": nil, "a": {"FifoQueue": "true"}} {
		_, err := sdk(s).CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
		if err == nil || !strings.Contains(err.Error(), "create a standard queue") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := post(s, "MakeCoffee", []byte("{}")); err == nil || !strings.Contains(err.Error(), "InvalidAction") {
		t.Errorf("unknown action: %v", err)
	}
}

func TestErrorsHaveTheHeaderAndTypeThatSDKsRead(t *testing.T) {
	s := open(t, Options{})
	r := httptest.NewRequest(http.MethodPost, "http://localhost/", strings.NewReader(`{"QueueName":"nowhere"}`))
	r.Header.Set("X-Amz-Target", "AmazonSQS.GetQueueUrl")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != 400 || w.Header().Get("x-amzn-query-error") != "AWS.SimpleQueueService.NonExistentQueue;Sender" ||
		w.Body.String() != `{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"The specified queue does not exist."}` {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

func TestQueuesPathAnswersTheStateOfEachQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{})
		q := queue(t, s, "events", nil)
		sendBodies(t, q, "a", "b")
		if _, err := q.Receive(t.Context(), 1, 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, QueuesPath, nil))
		var got struct{ Queues []queueState }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		want := queueState{Name: "events", Visible: 1, InFlight: 1, Events: 2, Sent: 2, Received: 1, OldestAge: 5}
		if len(got.Queues) != 1 || got.Queues[0] != want {
			t.Fatalf("%s, want %+v", w.Body, want)
		}
	})
}

func TestALargeBacklogIsCountedAndReceivedCompletely(t *testing.T) {
	const batches = 2000
	s := open(t, Options{})
	q := queue(t, s, "events", nil)
	for i := range batches {
		es := make([]*entry, 10)
		for j := range es {
			var err error
			if es[j], _, err = newEntry(q, messageInput{MessageBody: fmt.Sprint(i*10 + j)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := q.send(es); err != nil {
			t.Fatal(err)
		}
	}
	if st := q.Stats(); st.Visible != batches*10 {
		t.Fatalf("%+v", st)
	}
	if got := drain(t, q); len(got) != batches*10 {
		t.Fatalf("%d messages received, want %d", len(got), batches*10)
	}
	if st := q.Stats(); st.Visible+st.InFlight+st.Delayed != 0 || st.Deleted != batches*10 {
		t.Fatalf("%+v", st)
	}
}

func TestAClientThatReturnsMessagesAtOnceDoesNotStarveTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{})
		q := queue(t, s, "events", map[string]string{"VisibilityTimeout": "0"})
		sendBodies(t, q, "a", "b", "c")
		var got string
		for range 9 {
			ms, err := q.Receive(t.Context(), 1, 0)
			if err != nil || len(ms) != 1 {
				t.Fatalf("%d messages, %v", len(ms), err)
			}
			got += ms[0].Body
			time.Sleep(time.Millisecond) // the resolution of places
		}
		// The first time a message comes back before the others, then after them.
		if want := "aabbccabc"; got != want {
			t.Errorf("received %s, want %s", got, want)
		}
	})
}

func TestMessagesThatComeBackAreReceivedOldestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{})
		q := queue(t, s, "events", map[string]string{"VisibilityTimeout": "10"})
		receive := func(n int) (got string) {
			ms, err := q.Receive(t.Context(), n, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range ms {
				got += m.Body
			}
			return got
		}
		for _, body := range []string{"a", "b", "c", "d", "e"} {
			sendBodies(t, q, body)
			time.Sleep(time.Millisecond)
		}
		receive(2) // a and b come back after 10 s
		time.Sleep(2 * time.Second)
		receive(1) // c comes back after 12 s
		time.Sleep(11 * time.Second)
		sendBodies(t, q, "f")
		if got := receive(4); got != "abcd" {
			t.Errorf("received %s, want abcd", got)
		}
		if got := receive(4); got != "ef" {
			t.Errorf("received %s, want ef", got)
		}
	})
}

func TestAttributesThatAnEarlierVersionAcceptedDoNotPreventAStart(t *testing.T) {
	o := Options{Dir: "data", FS: new(store.Mem), Logger: quiet()}
	s := open(t, o)
	queue(t, s, "dead", nil)
	q := queue(t, s, "events", nil)
	r := q.record()
	r.Attributes = map[string]string{"KmsMasterKeyId": "key", "SqsManagedSseEnabled": "true", "Policy": "none",
		"RedrivePolicy": redriveTo("dead", `"5"`), "KmsDataKeyReusePeriodSeconds": "300"}
	if err := s.queues.save(r); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	q, ok := open(t, o).Queue("events")
	if !ok || q.attributes()["RedrivePolicy"] != redriveTo("dead", "5") {
		t.Errorf("attributes %v", q.attributes())
	}
}

func redriveTo(queue, count string) string {
	return `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:` + queue + `","maxReceiveCount":` + count + `}`
}
