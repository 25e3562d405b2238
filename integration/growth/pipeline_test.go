package growth

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local/segmentd"
	"github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/infra/local/sqs/store"
	"github.com/spillwayhq/spillway/infra/local/virtual"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

func TestMain(m *testing.M) { testutil.MainOnePerCore(m) }

// usualLatency is how Segment answers a region of AWS.
var usualLatency = segmentd.Rule{Latency: segmentd.Duration(50 * time.Millisecond),
	Jitter: segmentd.Duration(50 * time.Millisecond)}

// perCall is how many messages SQS takes in a call.
const perCall = 10

// dataDir is the directory of the emulator on the file system in memory.
const dataDir = "data"

// pipeline is the deployed pipeline in one bubble. It remembers a bit of each event, so that what
// the process needs is what the pipeline needs.
type pipeline struct {
	*testing.T
	topology topology.Topology
	world    *virtual.World
	files    store.FS
	to       *sqsclient.Queue
	packer   *message.Packer

	mu        sync.Mutex // guards what follows
	sent      int
	arrived   []uint64 // a bit each
	distinct  int
	again     int                // arrivals of events that had arrived
	latencies [maxLatency]uint32 // events by how many milliseconds they took; the last: or more
	began     time.Time          // when the first event was due
	pauses    time.Duration      // between two events
}

// maxLatency bounds what is told apart.
const maxLatency = 60_000

// open opens a pipeline without deliver, whose Segment answers by the rules. It must be called in a
// bubble, and so must all that is done with the pipeline.
func open(t *testing.T, rules ...segmentd.Rule) *pipeline {
	t.Helper()
	p := &pipeline{T: t, topology: topology.Default()}
	var err error
	if p.world, err = virtual.New(&p.topology, segmentd.Options{OnEvent: p.arrive, EventLimit: -1}, func(o *sqs.Options) {
		o.Dir, p.files = dataDir, o.FS
	}); err != nil {
		t.Fatal(err)
	}
	if err := p.world.Segment.SetScript(segmentd.Script{Rules: rules}); err != nil {
		t.Fatal(err)
	}
	c, err := message.NewCompressor()
	if err != nil {
		t.Fatal(err)
	}
	p.packer = message.NewPacker(message.Header{}, c)
	p.packer.Fair = true
	p.to = sqsclient.New(virtual.Client(p.world.ToSQS()), virtual.QueueURL(p.topology.Names.EventsQueue))
	return p
}

// deliver starts deliver.
func (p *pipeline) deliver() {
	p.Helper()
	if err := p.world.DeliverAsDeployed(nil, nil); err != nil {
		p.Fatal(err)
	}
}

// end waits until everything is delivered, stops the pipeline, and checks that each event has
// arrived, once.
func (p *pipeline) end() {
	p.Helper()
	if !p.world.Drained(time.Hour) {
		p.Errorf("an hour later the queue still holds %+v", p.world.Events().Stats())
	}
	if err := p.world.End(); err != nil {
		p.Error(err)
	}
	if p.distinct != p.sent || p.again > 0 {
		p.Errorf("%d events were sent, %d have arrived, %d of them again", p.sent, p.distinct, p.again)
	}
}

// filling makes an event 1 KB long.
var filling = strings.Repeat("a4f0c2d1 ", 92)

// send sends messages of one event each, as ingest does with a request of one event, the first of
// write key number i of keys, the next of the one after it.
func (p *pipeline) send(keys, messages int) {
	p.Helper()
	p.mu.Lock()
	first := p.sent
	p.sent += messages
	for len(p.arrived)*64 < p.sent {
		p.arrived = append(p.arrived, 0)
	}
	p.mu.Unlock()
	some := make([]message.Message, 0, perCall)
	for n := first; n < first+messages; n++ {
		p.packer.Reset(message.Header{WriteKey: "key-" + strconv.Itoa(n%keys)})
		p.packer.Add(fmt.Appendf(nil, `{"type":"track","event":"Run Started","userId":"user-%d","messageId":"m-%d",`+
			`"timestamp":"2018-09-24T09:00:00.000Z","properties":{"plan":"team","steps":14,"note":"%s"}}`, n%9973, n, filling))
		if some = append(some, p.packer.Pack()); len(some) == perCall || n == first+messages-1 {
			if err := p.to.Send(p.Context(), some); err != nil {
				p.Fatal(err)
			}
			some = some[:0]
		}
	}
}

// arrive notes that Segment has an event.
func (p *pipeline) arrive(r segmentd.Received) {
	n, err := strconv.Atoi(strings.TrimPrefix(r.MessageID, "m-"))
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil || n >= p.sent {
		p.Errorf("Segment got an event that nobody sent, with the messageId %q", r.MessageID)
		return
	}
	if bit := uint64(1) << (n % 64); p.arrived[n/64]&bit == 0 {
		p.arrived[n/64] |= bit
		p.distinct++
	} else {
		p.again++
		return
	}
	late := r.At.Sub(p.began.Add(time.Duration(n) * p.pauses))
	p.latencies[min(max(0, late.Milliseconds()), maxLatency-1)]++
}

// lastArrived reports whether the event that was sent last has arrived.
func (p *pipeline) lastArrived() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.sent - 1
	return p.arrived[n/64]>>(n%64)&1 == 1
}

// percentiles are how long the events that have arrived since the last call took to Segment, from
// when each was due.
func (p *pipeline) percentiles(percents ...float64) (took []time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := 0
	for _, n := range p.latencies {
		all += int(n)
	}
	for _, percent := range percents {
		seen, most := 0, float64(all)*percent/100
		for ms, n := range p.latencies {
			if seen += int(n); float64(seen) >= most {
				took = append(took, time.Duration(ms)*time.Millisecond)
				break
			}
		}
	}
	clear(p.latencies[:])
	return took
}
