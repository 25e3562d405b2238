package oracle

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/local/virtual"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/archive"
	"github.com/spillwayhq/spillway/shared/deadletter"
	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

var (
	seeds = flag.Int("seeds", 6, "how many seeds the oracle runs in virtual time")
	seed  = flag.Int("seed", -1, "replay only this seed, and print what was counted")
)

// patience is how long after the end of the faults everything must have been delivered. After an
// outage that takes 17 minutes; an event whose write key was refused, or a message whose function
// died, may have to wait twice.
const patience = 45 * time.Minute

func TestWhateverFailsEveryAcceptedEventIsDeliveredOrADeadLetter(t *testing.T) {
	t.Parallel()
	first, n := 0, *seeds
	if testing.Short() {
		n = min(n, 10)
	}
	if *seed >= 0 {
		first, n = *seed, 1
	}
	var mu sync.Mutex
	sum, happened := counted{}, map[string]int{}
	t.Run("seeds", func(t *testing.T) {
		all := t
		for s := first; s < first+n; s++ {
			t.Run(strconv.Itoa(s), func(t *testing.T) {
				t.Parallel()
				if all.Failed() && flag.Lookup("test.failfast").Value.String() == "true" {
					t.Skip("another seed has failed")
				}
				synctest.Test(t, func(t *testing.T) {
					c, faults := run(t, draw(uint64(s)))
					mu.Lock()
					defer mu.Unlock()
					sum.add(c)
					for name, n := range faults {
						happened[name] += n
					}
				})
			})
		}
	})
	t.Logf("%d seeds: %d events accepted = %d delivered + %d dead letters; %d duplicates; %d records in the archive; "+
		"faults of the platform: %v",
		n, sum.accepted, sum.delivered, sum.dead, sum.duplicates, sum.records, happened)
	if n < 100 {
		return
	}
	for _, name := range []string{
		"receive fails", "receive lost", "receive slow", "out of order", "duplicated", "visibility runs out", "delete fails",
		"delete lost",
		"call fails", "call lost", "call slow", "entry fails", "dead-letter queue down", "init fails", "killed",
		"answer lost",
		"frozen", "late", "answer at the last moment", "answer cut", "entry missing", "Segment's answer cut",
		"SQS loses its power", "a publisher ends",
		"archive away", "archive fails", "archive hangs", "archive slow", "archive takes a part", "archive's answer lost",
		"bulk queue down", "archive-only", "not archived", "not archived by ingest", "SQS moves an archive-only message",
	} {
		if happened[name] == 0 {
			t.Errorf("in %d seeds the fault %q never happened: the test proves less than it should", n, name)
		}
	}
}

func (c *counted) add(o counted) {
	c.accepted += o.accepted
	c.delivered += o.delivered
	c.dead += o.dead
	c.duplicates += o.duplicates
	c.records += o.records
}

// run runs a plan and checks what came out. It returns what was counted, and how often each fault
// happened.
func run(t *testing.T, p *plan) (counted, map[string]int) {
	f, l, exact := newFaults(p), newLedger(), p.exact()
	var archived archive.Appender
	if p.archive {
		m := new(memoryArchive)
		archived, l.archive, l.archiveCounts = faultyArchive{m, f}, m.records, p.archiveLost == 0
	}
	w := start(t, parts{
		gzip: p.gzip, arrive: l.arrive, report: l.report, handler: realHandler,
		environments: f.environments, archive: archived,
		queue: func(w *world, name string) lambda.Queue {
			return &faultyQueue{Queue: w.Feed(name), faults: f, client: w.client, url: queueURL(name)}
		},
		transport: func(inner http.RoundTripper) http.RoundTripper { return faultyTransport{inner, f} },
		toSegment: func(inner http.RoundTripper) http.RoundTripper { return segmentSide{inner, f, l} },
	})
	defer w.end(t)
	if p.fewReceives {
		w.allowReceives(t, 3)
	}
	always := append(poisonRules(p.poison), lateRule)
	script, slow := p.script, segmentd.Duration(0)
	if p.endless {
		slow = segmentd.Duration(8 * time.Second)
	}
	script.Rules = slices.Concat(endlessRules(slow), always, floodRules(p.flood), script.Rules)
	if err := w.Segment.SetScript(script); err != nil {
		t.Fatal(p, err)
	}
	compressor, err := message.NewCompressor()
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{client: w.client, queueURL: queueURL(topology.DefaultNames().EventsQueue), plan: p, ledger: l,
		rng: rand.New(rand.NewPCG(p.seed, 0x155e)), compressor: compressor}
	more, finish := producers(t, w, i, f)
	more = append(more, func() {
		if p.powerCuts > 0 && i.rng.IntN(2) == 0 { // at once, before anything is synced for another reason
			p.powerCuts--
			f.happens("SQS loses its power", 100)
			w.powerCut(t)
		}
	})
	if err := i.run(t.Context(), more...); err != nil {
		t.Fatal(p, err)
	}
	sleep(t.Context(), p.lasts-time.Since(f.began))
	f.stop()
	if p.fewReceives {
		w.allowReceives(t, 1000)
	}
	always = append(endlessRules(0), always...)
	if err := w.Segment.SetScript(segmentd.Script{Rules: always}); err != nil {
		t.Fatal(err)
	}
	finish()
	if !w.Drained(patience) {
		t.Errorf("%v: %v after the end of the faults the queue still holds %+v", p, patience, w.Events().Stats())
	}
	if err := i.fresh(t.Context()); err != nil {
		t.Fatal(p, err)
	}
	if !w.Drained(patience) {
		t.Errorf("%v: fresh events are not delivered: the queue holds %+v", p, w.Events().Stats())
	}
	l.deadLetters = readDeadLetters(t, w.client, queueURL(topology.DefaultNames().DeadLetterQueue))
	c, err := l.check(exact)
	if err != nil {
		t.Errorf("%v\n%v\ncounted: %+v, of the handler: %+v", p, err, c, l.totals)
	}
	redrive(t, p, w, l)
	if *seed >= 0 {
		t.Logf("%v\ncounted: %+v, of the handler: %+v, of the platform: %v", p, c, l.totals, f.happened)
	}
	happened := maps.Clone(f.happened)
	happened["archive-only"], happened["not archived"] = l.totals.deferred, l.totals.retried[deliver.NotArchived]
	happened["SQS moves an archive-only message"] = c.movedFrames
	happened["not archived by ingest"] = l.totals.ingestNotArchived
	return c, happened
}

// producers are the other ways into the pipeline: SDKs through the ingest endpoint, and programs
// with a publisher. finish waits until all that they have accepted is in the queue.
func producers(t *testing.T, w *world, i *issuer, f *faults) (issue []func(), finish func()) {
	if !i.plan.producers {
		return nil, func() {}
	}
	through := virtual.Client(faultyTransport{w.ToSQS(), f})
	s := &sdks{issuer: i, endpoint: newIngest(t, through, i.ledger)}
	away := new(atomic.Bool)
	apis := newAPIs(t, i, virtual.Client(faultyTransport{mayBeAway{w.ToSQS(), away}, f},
		func(o *awssqs.Options) { o.RetryMaxAttempts = 1 }))
	restarts := i.plan.restarts
	issue = append(issue, func() { s.send(t.Context()) }, func() {
		for _, a := range apis {
			a.enqueue()
		}
		if restarts > 0 && i.rng.IntN(2) == 0 {
			restarts--
			a := apis[i.rng.IntN(len(apis))]
			f.happens("a publisher ends", 100)
			if away.Store(i.rng.IntN(2) == 0); away.Load() { // its events are under way when it ends
				a.enqueue()
				sleep(t.Context(), time.Duration(i.rng.Int64N(int64(3*time.Second))))
			}
			a.end(i.rng)
			away.Store(false)
			a.enqueue()
		}
	})
	return issue, func() {
		s.sending.Wait()
		for _, a := range apis {
			a.finish()
		}
	}
}

// mayBeAway is SQS behind a network that may be down.
type mayBeAway struct {
	http.RoundTripper
	away *atomic.Bool
}

func (m mayBeAway) RoundTrip(r *http.Request) (*http.Response, error) {
	if m.away.Load() {
		return nil, virtual.ErrDown
	}
	return m.RoundTripper.RoundTrip(r)
}

// redrive makes Segment accept what it rejected and redrives the dead letters, with faults of SQS
// and interruptions. Then each event that can be delivered must have been, and not be a dead letter
// any more.
func redrive(t *testing.T, p *plan, w *world, l *ledger) {
	if !l.expectAllDelivered() {
		return
	}
	if err := w.Segment.SetScript(segmentd.Script{}); err != nil {
		t.Fatal(err)
	}
	f := newFaults(&plan{seed: p.seed, callFails: 60, callLost: 15, entryFails: 60, entryMissing: 30})
	api := virtual.Client(faultyTransport{w.Uninterrupted(), f})
	dead := deadletter.New(api, queueURL(topology.DefaultNames().DeadLetterQueue))
	to := sqsclient.New(api, queueURL(topology.DefaultNames().EventsQueue))
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), f.upTo(5*time.Second))
		_, _ = dead.Redrive(ctx, to, deadletter.RedriveOptions{}) // it may fail
		cancel()
		time.Sleep(deadletter.VisibilityTimeout + time.Minute) // what it received is visible again
	}
	f.stop()
	if _, err := dead.Redrive(t.Context(), to, deadletter.RedriveOptions{}); err != nil {
		t.Errorf("%v: redrive: %v", p, err)
	}
	if !w.Drained(patience) {
		t.Errorf("%v: what was redriven is not delivered: the queue holds %+v", p, w.Events().Stats())
	}
	l.earlier = l.deadLetters
	l.deadLetters = readDeadLetters(t, w.client, queueURL(topology.DefaultNames().DeadLetterQueue))
	if _, err := l.check(false); err != nil {
		t.Errorf("%v: after the redrive: %v", p, err)
	}
}

// poisonRules makes Segment reject events by their messageId.
func poisonRules(n int) (rules []segmentd.Rule) {
	for i := range n {
		rules = append(rules, segmentd.Rule{Match: segmentd.Match{MessageID: fmt.Sprintf("poison-%d", i)}, Status: 400})
	}
	return rules
}
