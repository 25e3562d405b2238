package awssource

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/policytest"
	"github.com/spillwayhq/spillway/shared/deadletter"
)

// use does everything that somebody may do with the page.
func use(t *testing.T, c *cloud) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	c.changes("segment-failing", "OK", "ALARM", 50*time.Minute)
	c.values["/shop/write-keys"] = `{"writeKeys":[{"name":"web","writeKey":"verysecretweb"}]}`
	c.write("ingest", time.Now().Add(-time.Minute), `{"Codes":{"too_large":1}}`)
	for range 3 {
		c.send(t, c.names.DeadLetterQueue, 1)
	}
	c.mu.Lock()
	clear(c.needed) // of what the test itself did
	c.mu.Unlock()
	s := c.open(t)
	minute := time.Now().Truncate(time.Minute)
	_, err := s.Metrics(t.Context(), []topology.Metric{s.own("deliver", "EventsDelivered", "Sum")}, minute, time.Minute, 1)
	must(err)
	_, err = s.Now(t.Context())
	must(err)
	_, err = s.Alarms(t.Context(), minute.Add(-24*time.Hour))
	must(err)
	_, err = s.Refusals(t.Context(), minute.Add(-time.Hour), minute)
	must(err)
	_, err = s.Samples(t.Context(), console.SampleQuery{Limit: 1})
	must(err)
	_, err = s.SendersPrice(t.Context(), time.Hour)
	must(err)
	_, err = s.Senders(t.Context(), time.Hour)
	must(err)
	_, err = s.WriteKeys(t.Context())
	must(err)
	c.stays = true // the query runs until nobody waits for it
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Senders(ctx, time.Hour); err == nil || !strings.Contains(err.Error(), "has not answered in time") {
		t.Errorf("a query that does not end: %v", err)
	}
	useDeadLetters(t, s, must)
}

// useDeadLetters reads three dead letters, sends the first again and drops the others.
func useDeadLetters(t *testing.T, s *Source, must func(error)) {
	t.Helper()
	d := s.DeadLetters()
	d.Read()
	for d.Reading().Running {
		time.Sleep(time.Millisecond)
	}
	list, err := d.List(t.Context(), console.DeadLetterQuery{Limit: 10})
	must(err)
	if len(list.Rows) != 3 {
		t.Fatalf("%d dead letters", len(list.Rows))
	}
	if _, err := s.Find(t.Context(), "u1", 1); err != nil {
		t.Error(err)
	}
	sent, err := d.Redrive(t.Context(),
		deadletter.RedriveOptions{Filter: deadletter.Filter{IDs: []string{list.Rows[0].ID}}}, false)
	must(err)
	dropped, err := d.Drop(t.Context(), deadletter.Filter{}, func([]byte) error { return nil })
	must(err)
	now, err := s.Now(t.Context())
	must(err)
	if sent.DeadLetters != 1 || dropped.DeadLetters != 2 || now.DeadLetters != 0 || now.Messages != 0 || now.Bulk != 1 {
		t.Errorf("sent %+v, dropped %+v: %+v", sent, dropped, now)
	}
}

// The policy on the page must be enough, and no more than that.
func TestThePolicyOnThePageIsWhatThePageNeeds(t *testing.T) {
	page := filepath.Join("..", "..", "..", "..", "docs", "console.md")
	c := newCloud(t)
	use(t, c)
	if used, says := slices.Sorted(maps.Keys(c.needed)), policytest.Actions(t, page, "### Permissions"); !slices.Equal(used, says) {
		t.Errorf("the page needs\n%s\nand docs/console.md allows\n%s", strings.Join(used, "\n"), strings.Join(says, "\n"))
	}
}
