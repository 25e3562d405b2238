package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

var many = flag.Int("dead-letters", 0, "how many dead letters to list, more than SQS lets be in flight, like 130000")

// TestDLQFindsACustomersDeadLetterAmongTooManyForSQS lists more dead letters than may be in flight.
func TestDLQFindsACustomersDeadLetterAmongTooManyForSQS(t *testing.T) {
	t.Parallel()
	if *many == 0 {
		t.Skip("takes minutes: -dead-letters 130000 runs it")
	}
	p := localtest.Start(t, local.Config{Hold: true})
	client := localtest.Client(p.SQSURL)
	url := p.QueueURL(topology.DefaultNames().DeadLetterQueue)
	compressor, err := message.NewCompressor()
	if err != nil {
		t.Fatal(err)
	}
	deadLetter := func(i int, key, reason string) message.Message {
		d := message.DeadLetter{ID: fmt.Sprint("ingest/", i), Reason: reason, Detail: "event_not_defined: a track needs an event name",
			Header: message.Header{WriteKey: key}, FirstSeen: time.Now().Add(-time.Duration(i) * time.Millisecond), LastSeen: time.Now(),
			Events: [][]byte{fmt.Appendf(nil, `{"type":"track","userId":"u","messageId":"m-%d","properties":{"a":1}}`, i)}}
		return d.Messages(compressor)[0]
	}
	const writers = 16
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			queue := sqsclient.NewSender(client, url)
			var batch []message.Message
			for i := w; i < *many; i += writers {
				key, reason := "hostile", "invalid"
				if i == *many-2 {
					key, reason = "customer", "rejected"
				}
				batch = append(batch, deadLetter(i, key, reason))
				if len(batch) == sqsclient.MaxEntries || i+writers >= *many {
					if err := queue.Send(t.Context(), batch); err != nil {
						t.Error(err)
						return
					}
					batch = batch[:0]
				}
			}
		})
	}
	writing.Wait()
	time.Sleep(time.Second)
	flags := []string{"dlq", "ls", "--json", "--queue-url", p.QueueURL(topology.DefaultNames().EventsQueue)}
	for name, c := range map[string]struct {
		flags []string
		want  int
	}{
		"all": {nil, *many}, "by reason and key": {[]string{"--reason", "rejected", "--write-key", "customer"}, 1},
	} {
		began := time.Now()
		out, errOut, err := spillway(t.Context(), "", append(flags, c.flags...)...)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %v; %s", name, time.Since(began).Round(10*time.Millisecond), errOut)
		var listing struct{ DeadLetters int }
		if err := json.Unmarshal([]byte(out), &listing); err != nil || listing.DeadLetters != c.want {
			t.Errorf("%s: %d dead letters of %d (%v)", name, listing.DeadLetters, c.want, err)
		}
		time.Sleep(deadletter.PutBackFor)
	}
}
