package sqs

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/infra/local/sqs/store"
)

func TestADeleteSurvivesACrashTwoSecondsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := new(store.Mem)
		s := open(t, Options{Dir: "data", FS: fs})
		q := queue(t, s, "events", map[string]string{"VisibilityTimeout": "600"})
		for i := range 3 { // each after a second sync by the syncer before it
			sendBodies(t, q, fmt.Sprint(i))
			if got := drain(t, q); len(got) != 1 {
				t.Fatalf("received %v", got)
			}
			time.Sleep(2 * time.Second)
			synctest.Wait()
			after := open(t, Options{Dir: "data", FS: fs.Crash(nil)})
			if q, _ := after.Queue("events"); q.Stats().Visible != 0 {
				t.Fatalf("message %d is back after a crash: %+v", i, q.Stats())
			}
		}
	})
}

func TestAReceiveCountSurvivesACrashTwoSecondsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := new(store.Mem)
		q := queue(t, open(t, Options{Dir: "data", FS: fs}), "events", nil)
		sendBodies(t, q, "a")
		ms, err := q.Receive(t.Context(), 1, 0)
		if err != nil || len(ms) != 1 {
			t.Fatalf("%d messages, %v", len(ms), err)
		}
		h, err := parseHandle(ms[0].ReceiptHandle, q.id)
		if err != nil {
			t.Fatal(err)
		}
		if err := q.changeVisibility(h, 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		q, _ = open(t, Options{Dir: "data", FS: fs.Crash(nil)}).Queue("events")
		ms, err = q.Receive(t.Context(), 1, 0)
		if err != nil || len(ms) != 1 || ms[0].Attributes["ApproximateReceiveCount"] != "2" {
			t.Fatalf("%+v, %v", ms, err)
		}
	})
}

func TestCloseSyncsADelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := new(store.Mem)
		s := open(t, Options{Dir: "data", FS: fs})
		q := queue(t, s, "events", nil)
		sendBodies(t, q, "a")
		drain(t, q)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		q, _ = open(t, Options{Dir: "data", FS: fs.Crash(nil)}).Queue("events")
		if st := q.Stats(); st.Visible != 0 {
			t.Fatalf("%+v", st)
		}
	})
}
