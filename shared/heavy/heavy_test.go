package heavy

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Queries of Logs Insights, dashboards and other people's programs read this form.
func TestALineHasThisForm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCounter("shop", PartIngest)
		c.Users = true
		ordered := Event{Name: []byte("Order Completed"), User: []byte("u1"), Size: 1000}
		c.Count(Key{ID: "9f86d081", Name: "web"}, 3, func(i int) Event {
			return []Event{ordered, ordered, {Name: []byte("page"), Size: 500, Code: "no_user"}}[i]
		})
		c.Count(Key{ID: "5feceb66"}, 1, func(int) Event { return Event{Name: []byte("page"), Size: 300} })
		c.CountRequest(Key{}, "invalid_write_key")
		time.Sleep(time.Minute)
		l, ok := c.Take(time.Now())
		var got strings.Builder
		if _, err := l.WriteTo(&got); err != nil || !ok {
			t.Fatal(ok, err)
		}
		const want = `{"time":"2000-01-01T00:01:00Z","level":"INFO","msg":"heaviest","pipeline":"shop","part":"ingest",` +
			`"from":"2000-01-01T00:00:00Z","events":3,"bytes":2300,"refused":2,"missed":0,"heaviest":[` +
			`{"by":"event","name":"Order Completed","events":2,"bytes":2000},` +
			`{"by":"event","name":"page","events":1,"bytes":300},` +
			`{"by":"event","name":"(unknown)","code":"invalid_write_key","events":1,"bytes":0},` +
			`{"by":"event","name":"page","code":"no_user","events":1,"bytes":500},` +
			`{"by":"write-key","name":"web","id":"9f86d081","events":2,"bytes":2000},` +
			`{"by":"write-key","name":"5feceb66","events":1,"bytes":300},` +
			`{"by":"write-key","name":"(unknown)","code":"invalid_write_key","events":1,"bytes":0},` +
			`{"by":"write-key","name":"web","id":"9f86d081","code":"no_user","events":1,"bytes":500},` +
			`{"by":"user","name":"u1","events":2,"bytes":2000}]}` + "\n"
		if got.String() != want {
			t.Errorf("the line is\n%s, want\n%s", &got, want)
		}
		if parsed, ok := Parse([]byte(got.String())); !ok || fmt.Sprint(parsed) != fmt.Sprint(l) {
			t.Errorf("the line is read as %v, want %v", parsed, l)
		}
	})
}

func TestALineSaysWhatAnUnlistedNameMayHaveSent(t *testing.T) {
	for part, want := range map[string]string{PartIngest: "map[event:2 write-key:0]",
		PartDeliver: "map[event:5 write-key:0]"} {
		c := NewCounter("shop", part)
		for i := range Accepted + 3 { // with 4, 4, … 4, 2, 2, 2 events
			c.Count(Key{ID: "k"}, []int{4, 2}[i/Accepted], func(int) Event { return Event{Name: fmt.Append(nil, i)} })
		}
		for i := range Refused + 1 {
			c.Count(Key{ID: "k"}, 3, func(int) Event { return Event{Name: fmt.Append(nil, i), Code: "retried/transient"} })
		}
		l, _ := c.Take(time.Now())
		if got := fmt.Sprint(map[By]uint64{ByEvent: l.Unlisted[ByEvent], ByWriteKey: l.Unlisted[ByWriteKey]}); got != want {
			t.Errorf("%s: %s, want %s", part, got, want)
		}
	}
}

func TestUsersAreCountedOnlyWhereTheyMay(t *testing.T) {
	c := NewCounter("shop", PartIngest)
	c.Count(Key{ID: "k"}, 1, func(int) Event { return Event{Name: []byte("a"), User: []byte("secret"), Size: 1} })
	if l, _ := c.Take(time.Now()); strings.Contains(fmt.Sprint(l), "secret") {
		t.Errorf("a user is in the line %v", l)
	}
}

func TestALineIsDueOnceAMinute(t *testing.T) {
	c := NewCounter("shop", PartDeliver)
	at := time.Date(2026, 11, 27, 10, 0, 50, 0, time.UTC)
	var due []time.Duration
	for s := range 180 {
		now := at.Add(time.Duration(s) * time.Second)
		c.CountRequest(Key{ID: "k"}, "")
		if c.Due(now) {
			due = append(due, time.Duration(s)*time.Second)
			c.Take(now)
		}
	}
	if got := fmt.Sprint(due); got != "[0s 10s 1m10s 2m10s]" {
		t.Errorf("lines are due after %s", got)
	}
}

func TestWhatWasTakenIsForgotten(t *testing.T) {
	c := NewCounter("shop", PartDeliver)
	if l, ok := c.Take(time.Now()); ok {
		t.Errorf("nothing was counted, but there is a line: %v", l)
	}
	c.Count(Key{ID: "k"}, 1, func(int) Event { return Event{Name: []byte("a"), Size: 1, Code: "dead_letter/invalid"} })
	if l, ok := c.Take(time.Now()); !ok || l.Refused != 1 {
		t.Errorf("a refused event is in no line: %v", l)
	}
	if l, ok := c.Take(time.Now()); ok || len(l.Heaviest) > 0 {
		t.Errorf("what was taken comes again: %v", l)
	}
}

func TestAPeekChangesNothing(t *testing.T) {
	c := NewCounter("shop", PartIngest)
	for i := range Accepted + 5 {
		c.Count(Key{ID: fmt.Sprint("k", i)}, 1, func(int) Event { return Event{Name: []byte("a"), Size: 1} })
	}
	now := time.Now()
	for range 2 {
		if l, ok := c.Peek(now, 100); !ok || l.Events != Accepted+5 || len(l.Heaviest) != 1+Accepted+5 || !c.Due(now) {
			t.Errorf("there are not all keys in %v", l)
		}
	}
	if l, ok := c.Take(now); !ok || l.Events != Accepted+5 || len(l.Heaviest) != 1+Accepted {
		t.Errorf("after a peek it takes %v", l)
	}
	if _, ok := c.Peek(now, 100); ok {
		t.Error("what was taken is still there")
	}
}

func TestNamesAreCutAndShowNoControlCharacters(t *testing.T) {
	long := strings.Repeat("é", 60)
	for name, want := range map[string]string{
		"":                       Unknown,
		"Über":                   "Über",
		"a\x1b[2Jb\nc\x00":       "a�[2Jb�c�",
		"half \xe2\x82":          "half ",
		long:                     strings.Repeat("é", 36) + "…",
		"x" + long:               "x" + strings.Repeat("é", 35) + "…",
		`"quoted" <b> \`:         `"quoted" <b> \`,
		strings.Repeat("a", 72):  strings.Repeat("a", 72),
		strings.Repeat("a", 999): strings.Repeat("a", 72) + "…",
	} {
		c := NewCounter("shop", PartIngest)
		c.Count(Key{ID: "k"}, 1, func(int) Event { return Event{Name: []byte(name), Size: 1} })
		l, _ := c.Take(time.Now())
		if got := l.Heaviest[0].Name; got != want {
			t.Errorf("%q is shown as %q, want %q", name, got, want)
		}
	}
}

// Anybody can send such names.
func TestALineIsBounded(t *testing.T) {
	c := NewCounter("shop", PartIngest)
	c.Users = true
	for i := range 20_000 {
		name := fmt.Appendf(nil, "%s%d", strings.Repeat("\x01\"", 100), i)
		c.Count(Key{ID: string(name)}, 1, func(int) Event {
			return Event{Name: name, User: name, Size: 1 << 20, Code: []string{"", fmt.Sprint("code", i)}[i%2]}
		})
	}
	l, _ := c.Take(time.Now())
	var b strings.Builder
	if _, err := l.WriteTo(&b); err != nil || b.Len() > 24<<10 || len(l.Heaviest) != 3*(Accepted+Refused) {
		t.Errorf("a line has %d bytes and %d entries: %v", b.Len(), len(l.Heaviest), err)
	}
	if l.Events+l.Refused != 20_000 {
		t.Errorf("%d events and %d refused ones, want 20,000 in all", l.Events, l.Refused)
	}
	for _, e := range l.Heaviest {
		if e.Code != "" && e.Code != otherCode && !strings.HasPrefix(e.Code, "code") {
			t.Errorf("a made-up code is shown as %q", e.Code)
		}
	}
}

// The number is in the package comment and in docs/cost.md.
func TestTheLinesOfABusySiteCostLessThanADollarAMonth(t *testing.T) {
	const environments, minutes, dollarsPerGB = 25, 60 * 24 * 30, 0.50
	c := NewCounter("spillway", PartIngest)
	for i := range 60_000 / environments {
		name := fmt.Appendf(nil, "Order Completed %d", i%40)
		c.Count(Key{ID: "9f86d081", Name: fmt.Sprintf("shop source %d", i%5)}, 1, func(int) Event {
			return Event{Name: name, Size: 1000}
		})
	}
	l, _ := c.Take(time.Now())
	var b strings.Builder
	if _, err := l.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	const overhead = 26 // bytes that CloudWatch Logs counts beside each event
	dollars := float64(b.Len()+overhead) * environments * minutes / 1e9 * dollarsPerGB
	t.Logf("a line has %d bytes: $%.2f a month for %d environments", b.Len(), dollars, environments)
	if dollars > 1 {
		t.Errorf("the lines cost $%.2f a month", dollars)
	}
}

func TestALineThatCanNotBeWrittenIsAnError(t *testing.T) {
	var l Line
	if _, err := l.WriteTo(failing{}); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("%v", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestOnlyLinesOfTheHeaviestAreParsed(t *testing.T) {
	for _, line := range []string{
		"", "START RequestId: 1", `{"msg":"delivered"}`, `{"msg":"heaviest"`, `{"x":{"msg":"heaviest"}}`,
		`{"msg":"heaviest","events":-1}`, `{"msg":"heaviest","heaviest":[1]}`, `["msg":"heaviest"]`,
	} {
		if l, ok := Parse([]byte(line)); ok {
			t.Errorf("%s is taken for %v", line, l)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"time":"2000-01-01T00:01:00Z","msg":"heaviest","events":3,"heaviest":[{"by":"event","name":"a"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if l, ok := Parse(data); ok && l.Message != Message {
			t.Errorf("%q is taken for %v", data, l)
		}
	})
}

func TestACounterCountsConcurrentCalls(t *testing.T) {
	c := NewCounter("shop", PartIngest)
	c.Users = true
	var running sync.WaitGroup
	var mu sync.Mutex
	var events, entries uint64
	take := func() {
		l, _ := c.Take(time.Now())
		mu.Lock()
		defer mu.Unlock()
		events += l.Events
		for _, e := range l.Heaviest {
			if e.By == ByUser {
				entries += e.Events
			}
		}
	}
	for range 4 {
		running.Go(func() {
			for i := range 500 {
				c.Count(Key{ID: "k"}, 10,
					func(i int) Event { return Event{Name: []byte("a"), User: []byte{'0' + byte(i)}, Size: 1} })
				if i%100 == 0 && c.Due(time.Now()) {
					take()
				}
			}
		})
	}
	running.Wait()
	take()
	if events != 20_000 || entries != 20_000 {
		t.Errorf("%d events and %d of users were counted, want 20,000", events, entries)
	}
}
