package sqs

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/spillwayhq/spillway/infra/local/sqs/store"
)

var fairnesses = map[string]Fairness{"as documented": FairAsDocumented, "late": FairLate, "unfair": Unfair}

// sendGroup sends n messages of a group, whose bodies are the group's name and a number.
func sendGroup(t testing.TB, q *Queue, group string, n int) {
	t.Helper()
	for i := range n {
		in := messageInput{MessageBody: fmt.Sprint(group, "-", i)}
		if group != "" {
			in.MessageGroupId = &group
		}
		e, _, err := newEntry(q, in)
		if err != nil {
			t.Fatal(err)
		}
		if err := q.send([]*entry{e}); err != nil {
			t.Fatal(err)
		}
	}
}

// receiveGroups receives up to n messages, and returns how many of them are of which group.
func receiveGroups(t testing.TB, q *Queue, n int) (groups map[string]int, handles []string) {
	t.Helper()
	groups = map[string]int{}
	for n > 0 {
		got, err := q.Receive(t.Context(), min(n, 10), 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 {
			break
		}
		n -= len(got)
		for _, m := range got {
			groups[m.Attributes["MessageGroupId"]]++
			handles = append(handles, m.ReceiptHandle)
		}
	}
	return groups, handles
}

func remove(t testing.TB, q *Queue, handles []string) {
	t.Helper()
	if err := q.Delete(t.Context(), handles); err != nil {
		t.Fatal(err)
	}
}

func TestQuietGroupsAreReceivedBeforeTheBacklogOfANoisyOne(t *testing.T) {
	for name, f := range fairnesses {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open(t, Options{Fairness: f})
				q := queue(t, s, "events", nil)
				sendGroup(t, q, "flood", 500)
				receiveGroups(t, q, 100)
				time.Sleep(5 * time.Second) // it is seen late
				sendGroup(t, q, "a", 3)
				sendGroup(t, q, "b", 2)
				sendGroup(t, q, "", 1)
				groups, _ := receiveGroups(t, q, 10)
				want := map[string]int{"a": 3, "b": 2, "": 1, "flood": 4}
				if f == Unfair {
					want = map[string]int{"flood": 10}
				}
				if fmt.Sprint(groups) != fmt.Sprint(want) {
					t.Errorf("received %v, want %v", groups, want)
				}
				if st := q.Stats(); (f != Unfair) != (st.NoisyGroups == 1) || f != Unfair && st.NoisyVisible != 500-104 {
					t.Errorf("%d noisy groups with %d messages", st.NoisyGroups, st.NoisyVisible)
				}
			})
		})
	}
}

func TestAGroupIsNoisyFromTheDocumentedThresholdsOn(t *testing.T) {
	for _, c := range []struct {
		name      string
		group     int           // its messages in flight
		others    int           // those of other groups in flight
		busy      time.Duration // for which 10 of its messages were in flight before
		otherBusy time.Duration // the same of 10 others
		want      bool
	}{
		{name: "few in flight", group: 29, want: false},
		{name: "enough in flight, and over a tenth", group: 31, others: 270, want: true},
		{name: "enough in flight, and a tenth", group: 31, others: 280, want: false},
		{name: "over a tenth of the time", group: 1, busy: 2 * time.Second, otherBusy: 10 * time.Second, want: true},
		{name: "a tenth of the time", group: 1, busy: time.Second, otherBusy: 9 * time.Second, want: false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open(t, Options{})
				q := queue(t, s, "events", map[string]string{"VisibilityTimeout": "600"})
				hold := func(group string, d time.Duration) {
					if d > 0 {
						sendGroup(t, q, group, 10)
						_, handles := receiveGroups(t, q, 10)
						time.Sleep(d)
						remove(t, q, handles)
					}
				}
				hold("a", c.busy)
				hold("", c.otherBusy)
				if c.busy == 0 && c.others == 0 { // so that the time says nothing
					sendGroup(t, q, "", 10)
					_, handles := receiveGroups(t, q, 10)
					time.Sleep(time.Second)
					remove(t, q, handles)
				}
				sendGroup(t, q, "", c.others)
				receiveGroups(t, q, c.others)
				sendGroup(t, q, "a", c.group+1) // one is left: a group without a backlog is quiet
				receiveGroups(t, q, c.group)
				if got := q.Stats().NoisyGroups == 1; got != c.want {
					t.Errorf("noisy is %v, want %v", got, c.want)
				}
			})
		})
	}
}

func TestOfNoisyGroupsTheOneWithTheFewestInFlightIsReceivedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{})
		q := queue(t, s, "events", nil)
		sendGroup(t, q, "a", 200)
		receiveGroups(t, q, 90)
		sendGroup(t, q, "b", 200)
		groups, _ := receiveGroups(t, q, 90) // b is quiet up to 30, and then has fewer than a
		if groups["b"] != 90 {
			t.Errorf("received %v", groups)
		}
		groups, _ = receiveGroups(t, q, 100)
		if groups["a"] != 50 || groups["b"] != 50 {
			t.Errorf("received %v, want as many of each", groups)
		}
	})
}

func TestANoisyGroupIsQuietAgain(t *testing.T) {
	t.Run("when its backlog is gone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := open(t, Options{})
			q := queue(t, s, "events", nil)
			sendGroup(t, q, "a", 60)
			receiveGroups(t, q, 50)
			if q.Stats().NoisyGroups != 1 {
				t.Fatal("it is not noisy")
			}
			receiveGroups(t, q, 10)
			if q.Stats().NoisyGroups != 0 {
				t.Error("it is noisy without a backlog")
			}
		})
	})
	t.Run("when none of it has been in flight for five minutes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := open(t, Options{})
			q := queue(t, s, "events", nil)
			sendGroup(t, q, "a", 100)
			_, handles := receiveGroups(t, q, 50)
			remove(t, q, handles)
			for _, wait := range []time.Duration{5*time.Minute - time.Second, time.Second} {
				time.Sleep(wait)
				sendGroup(t, q, "", 1)
				first, err := q.Receive(t.Context(), 1, 0)
				if err != nil || len(first) != 1 {
					t.Fatal(first, err)
				}
				group := first[0].Attributes["MessageGroupId"]
				if soon := wait > time.Minute; soon != (group == "") {
					t.Errorf("%v later the first message is of group %q", wait, group)
				}
				remove(t, q, []string{first[0].ReceiptHandle})
			}
		})
	})
}

func TestAGroupIsKnownAfterARestartAndInTheDeadLetterQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{Dir: "data", FS: new(store.Mem), Logger: quiet()}
		s, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		dead := queue(t, s, "dead", nil)
		q := queue(t, s, "events", map[string]string{"VisibilityTimeout": "1",
			"RedrivePolicy": `{"deadLetterTargetArn":"` + dead.ARN() + `","maxReceiveCount":1}`})
		sendGroup(t, q, "flood", 100)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, o)
		q, _ = s.Queue("events")
		receiveGroups(t, q, 50)
		if n := q.Stats().NoisyGroups; n != 1 {
			t.Errorf("%d noisy groups after a restart", n)
		}
		time.Sleep(2 * time.Second)
		receiveGroups(t, q, 100)
		time.Sleep(2 * time.Second)
		receiveGroups(t, q, 100)
		dead, _ = s.Queue("dead")
		if groups, _ := receiveGroups(t, dead, 100); groups["flood"] != 100 {
			t.Errorf("the dead-letter queue has %v", groups)
		}
	})
}

func TestGroupsWithoutMessagesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{})
		q := queue(t, s, "events", nil)
		for i := range 1000 {
			sendGroup(t, q, fmt.Sprint("g", i), 1)
			_, handles := receiveGroups(t, q, 1)
			remove(t, q, handles)
		}
		if n := len(q.index.waiting.groups); n > 64 {
			t.Errorf("%d groups of deleted messages are in memory", n)
		}
	})
}

func TestTheGroupOfAStoredMessageIsReadWithoutTheRest(t *testing.T) {
	for _, group := range []string{"", "a", strings.Repeat("g", maxGroupID)} {
		m := storedMessage{group: group, body: "x"}
		content := m.encode()
		if got := storedGroup(content); got != groupOf(group) {
			t.Errorf("group %q is %d, want %d", group, got, groupOf(group))
		}
		for n := range 34 {
			if storedGroup(content[:n]) != 0 {
				t.Errorf("%d bytes have a group", n)
			}
		}
	}
	if size := unsafe.Sizeof(store.Message{}); size > 80 {
		t.Errorf("a message takes %d bytes of memory", size)
	}
}

// Whatever happens to messages of several groups, the next one is the first that is visible of the
// quiet groups, and of the noisy ones only if there is none.
func TestTheNextMessageIsTheFirstOfAQuietGroup(t *testing.T) {
	for name, f := range fairnesses {
		for seed := range uint64(20) {
			random := rand.New(rand.NewPCG(seed, 2))
			w, now, seq := newWaiting(f), int64(1e12), uint64(0)
			waiting, flying := map[*store.Message]bool{}, map[*store.Message]int64{}
			any := func(ms map[*store.Message]bool) *store.Message {
				var all []*store.Message
				for m := range ms {
					all = append(all, m)
				}
				slices.SortFunc(all, func(a, b *store.Message) int { return int(a.Seq) - int(b.Seq) })
				if len(all) == 0 {
					return nil
				}
				return all[random.IntN(len(all))]
			}
			for range 2000 {
				now += random.Int64N(2000)
				switch n := random.IntN(10); {
				case n < 4:
					seq++
					m := &store.Message{Seq: seq, Sent: now, At: now + random.Int64N(2)*random.Int64N(5000),
						Group: uint32(random.IntN(5) * random.IntN(2))}
					w.add(m)
					waiting[m] = true
				case n < 5:
					if m := any(waiting); m != nil {
						w.remove(m)
						delete(waiting, m)
					}
				case n < 7:
					for m, at := range flying {
						w.ended(m, at, now)
						delete(flying, m)
						break
					}
				default:
					w.judge(now)
					noisy := map[*group]bool{} // a group whose backlog is gone is quiet
					for _, g := range w.noisy {
						noisy[g] = true
					}
					want := firstOf(w, waiting, now)
					m := w.next(now)
					if m != want && (m == nil || want == nil || !noisy[w.of(m)] || !noisy[w.of(want)]) {
						t.Fatalf("%s, seed %d: %+v is next, want %+v", name, seed, m, want)
					}
					if m != nil {
						delete(waiting, m)
						w.took(m, now)
						flying[m] = now
					}
				}
				if n := w.none.waiting.Len(); f == Unfair && n != len(waiting) || w.inFlight != len(flying) {
					t.Fatalf("%s, seed %d: %d messages wait, want %d; %d are in flight, want %d", name, seed, n, len(waiting),
						w.inFlight, len(flying))
				}
			}
		}
	}
}

// firstOf is the visible message with the first place of the quiet groups, or else of the noisy ones.
func firstOf(w *waiting, messages map[*store.Message]bool, now int64) *store.Message {
	var first [2]*store.Message
	for m := range messages {
		i := 0
		if w.of(m).noisy {
			i = 1
		}
		if visible(m, now) && (first[i] == nil || placeOf(m).compare(placeOf(first[i])) < 0) {
			first[i] = m
		}
	}
	if first[0] != nil {
		return first[0]
	}
	return first[1]
}
