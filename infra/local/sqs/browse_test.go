package sqs

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/infra/local/sqs/store"
)

// told is what a follower was told: the messages that are there.
type told map[uint64]Ref

func (s told) follow(f *Follower, max int) (left int64) {
	c := f.Next(max)
	if c.Restart {
		clear(s)
	}
	for _, r := range c.Added {
		s[r.Seq] = r
	}
	for _, seq := range c.Removed {
		delete(s, seq)
	}
	return c.Left
}

// there are the messages of a queue.
func there(q *Queue) told {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := told{}
	for _, m := range q.index.bySent.Items() {
		all[m.Seq] = Ref{m.Sent, m.Seq}
	}
	return all
}

func TestAFollowerKnowsWhichMessagesAQueueHasWhateverHappens(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			s := open(t, Options{})
			dead := queue(t, s, "dead", nil)
			q := queue(t, s, "events", map[string]string{"VisibilityTimeout": "0", "MessageRetentionPeriod": "600",
				"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":2}`, dead.ARN())})
			sendBodies(t, q, slices.Repeat([]string{"before"}, 30)...)
			known := map[*Queue]told{q: {}, dead: {}}
			followers := map[*Queue]*Follower{}
			for range 300 {
				switch rng.IntN(8) {
				case 0, 1:
					sendBodies(t, q, slices.Repeat([]string{"x"}, 1+rng.IntN(5))...)
				case 2, 3:
					ms, err := q.Receive(t.Context(), 5, 0)
					if err != nil {
						t.Fatal(err)
					}
					if len(ms) > 0 && rng.IntN(2) == 0 {
						if err := q.Delete(t.Context(), []string{ms[0].ReceiptHandle}); err != nil {
							t.Fatal(err)
						}
					}
				case 4:
					time.Sleep(time.Duration(rng.IntN(40)) * time.Second)
				case 5:
					if rng.IntN(20) == 0 {
						_ = q.purge()
					}
				default:
					for follow, set := range known {
						if followers[follow] == nil {
							followers[follow] = follow.Follow()
						}
						set.follow(followers[follow], rng.IntN(4))
					}
				}
			}
			for follow, set := range known {
				for i := 0; set.follow(followers[follow], 7) > 0; i++ {
					if i > 1000 {
						t.Fatal("it never ends")
					}
				}
				if want := there(follow); !maps.Equal(set, want) {
					t.Errorf("seed %d, %s: told of %d messages, there are %d", seed, follow.Name(), len(set), len(want))
				}
				followers[follow].Close()
				if len(follow.index.followers) != 0 {
					t.Error("the queue still notes changes")
				}
			}
		})
	}
}

func TestAFollowerThatAsksTooRarelyBeginsAgain(t *testing.T) {
	s := open(t, Options{})
	q := queue(t, s, "events", nil)
	f := q.Follow()
	defer f.Close()
	known := told{}
	known.follow(f, 10)
	for i := range maxChanges + 10 {
		q.mu.Lock()
		q.index.add(&store.Message{Sent: int64(i), Seq: uint64(i + 1)})
		q.total++
		q.mu.Unlock()
	}
	if n := len(f.log.added); n > maxChanges {
		t.Errorf("%d changes wait", n)
	}
	for known.follow(f, 10_000) > 0 {
		continue
	}
	if want := there(q); !maps.Equal(known, want) {
		t.Errorf("told of %d messages, there are %d", len(known), len(want))
	}
	q.mu.Lock()
	q.index, q.total = newIndex(s.fairness), 0 // they are not on disk
	q.mu.Unlock()
}

func TestLookingAtMessagesChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{})
		q := queue(t, s, "events", nil)
		sendBodies(t, q, "first", "second", "third")
		got, err := q.Receive(t.Context(), 1, 0)
		if err != nil || len(got) != 1 {
			t.Fatalf("%d messages, %v", len(got), err)
		}
		before := q.Stats()
		f := q.Follow()
		defer f.Close()
		refs := f.Next(10).Added
		for range 5 {
			for _, m := range q.Look(refs) {
				received := m.Body == got[0].Body
				want := map[bool]string{false: "0", true: "1"}[received]
				if m.Err != nil || m.ReceiptHandle != "" || m.InFlight != received || m.Attributes["ApproximateReceiveCount"] != want ||
					m.MD5OfBody == "" || m.MessageID == "" {
					t.Errorf("looked at %+v", m)
				}
			}
		}
		if after := q.Stats(); after != before {
			t.Errorf("the queue has changed: %+v, before %+v", after, before)
		}
		if rest, err := q.Receive(t.Context(), 10, 0); err != nil || len(rest) != 2 ||
			rest[0].Attributes["ApproximateReceiveCount"] != "1" {
			t.Errorf("received %+v, %v", rest, err)
		}
		if err := q.Delete(t.Context(), []string{got[0].ReceiptHandle}); err != nil {
			t.Fatal(err)
		}
		gone := 0
		for _, m := range q.Look(refs) {
			if m.Gone {
				gone++
			}
		}
		if gone != 1 {
			t.Errorf("%d messages are gone, want 1", gone)
		}
	})
}

func TestADamagedMessageCanBeLookedAtAndStaysAsItIs(t *testing.T) {
	fs := new(store.Mem)
	s := open(t, Options{Dir: "data", FS: fs})
	q := queue(t, s, "events", nil)
	sendBodies(t, q, "first", "second", "third")
	names, err := fs.List("data")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".log") {
			fs.Damage("data/"+name, []byte("second"))
		}
	}
	f := q.Follow()
	defer f.Close()
	refs := f.Next(10).Added
	damaged := 0
	for range 2 {
		for _, m := range q.Look(refs) {
			if errors.Is(m.Err, store.ErrDamaged) {
				damaged++
			} else if m.Err != nil {
				t.Error(m.Err)
			}
		}
	}
	if st := q.Stats(); damaged != 2 || st.Visible != 3 || st.Lost != 0 {
		t.Errorf("%d damaged messages were seen, and the queue has %+v", damaged, st)
	}
}
