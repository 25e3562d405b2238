package oracle

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/infra/local/segmentd"
)

// plan says what goes wrong in one run, drawn by its seed. A fault whose field is zero does not
// happen. Numbers of type float64 are percentages of calls.
type plan struct {
	seed  uint64
	lasts time.Duration // then the faults stop
	gzip  bool

	script   segmentd.Script // of the Segment emulator
	poison   int             // how many events Segment rejects with 400
	messages int
	burst    int // further messages, all at once, each of which needs a batch of its own

	// SQS fails; its answer with messages is lost; it takes seconds
	receiveFails, receiveLost, receiveSlow float64
	// messages come out of order; are received twice; their visibility timeout ends during delivery
	shuffled, duplicated, visibilityEnds float64
	deleteFails, deleteLost              float64 // before and after the messages are deleted
	callFails, callLost, callSlow        float64 // the function's own calls to SQS: dead letters, visibility changes
	entryFails                           float64 // an entry of such a call fails in an answer of 200
	deadLettersDown                      bool    // the dead-letter queue can't be reached in the middle third of the run
	// the function does not start; dies during a flush; dies before it answers
	initFails, killed, answerLost float64
	frozen, late                  float64 // it times out before it has done anything; after it has done everything
	skew                          time.Duration
	aged                          float64 // messages that were sent more than ten days ago
	resent                        float64 // messages that are sent twice, as by a sender that got no answer
	entryMissing                  float64 // an entry of such a call is not done, and the answer does not name it
	answerCut                     float64 // the answer of SQS to a call ends in its middle
	segmentCut                    float64 // a proxy in front of Segment answers 200, cut short, and Segment has nothing

	archive      bool    // there is one
	archiveAway  bool    // it fails in the middle third of the run
	bulkDown     bool    // the bulk queue can't be reached then
	archiveFails float64 // calls to it
	// it takes a part of the frames; all, but its answer is lost
	archiveHangs, archiveSlow, archivePart, archiveLost float64

	producers   bool // events also come through the ingest endpoint and through publishers
	powerCuts   int  // of the queue's machine
	restarts    int  // of the publishers, by kill -9 or a power cut
	flood       int  // events of one message that Segment rejects while the faults last: more than it may reject
	full        bool // pairs of messages that fill a batch to the event and to the byte, and pairs that are just too large
	endless     bool // events that Segment rejects are searched for so slowly that an invocation does not find them
	fewReceives bool // SQS moves a message to the dead-letter queue after a few receives

	drawn []string
}

// exact reports whether the handler's own counts must be those of the oracle: none of the faults
// makes it do the same work twice.
func (p *plan) exact() bool {
	again := p.killed + p.answerLost + p.late + p.duplicated + p.visibilityEnds + p.deleteFails + p.deleteLost + p.resent
	calls := p.callFails + p.callLost + p.callSlow + p.entryFails + p.entryMissing + p.answerCut
	return again == 0 && p.powerCuts == 0 && !p.fewReceives && (!p.producers || calls == 0)
}

func (p *plan) String() string {
	return fmt.Sprintf("seed %d, faults for %v: %s", p.seed, p.lasts, strings.Join(p.drawn, ", "))
}

// draw makes the plan of a seed.
func draw(seed uint64) *plan {
	rng := rand.New(rand.NewPCG(seed, 0x5b111a))
	p := &plan{seed: seed, messages: 4 + rng.IntN(10), gzip: rng.IntN(8) == 0}
	upTo := func(d time.Duration) time.Duration {
		return time.Second + time.Duration(rng.Int64N(int64(d))).Truncate(time.Second)
	}
	switch k := rng.IntN(200); {
	case k == 0:
		p.lasts = 24 * time.Hour
	case k < 14:
		p.lasts = time.Hour + upTo(time.Hour)
	default:
		p.lasts = time.Minute + upTo(20*time.Minute)
	}
	// Each fault of the platform occurs in about every fifth run: some runs have none, most have
	// several.
	percent := func(name string, field *float64, most float64) {
		if rng.IntN(5) == 0 {
			*field = 1 + rng.Float64()*most
			p.drawn = append(p.drawn, fmt.Sprintf("%s %.0f %%", name, *field))
		}
	}
	percent("receive fails", &p.receiveFails, 50)
	percent("receive lost", &p.receiveLost, 15)
	percent("receive slow", &p.receiveSlow, 30)
	percent("out of order", &p.shuffled, 99)
	percent("duplicated", &p.duplicated, 30)
	percent("visibility runs out", &p.visibilityEnds, 20)
	percent("delete fails", &p.deleteFails, 70)
	percent("delete lost", &p.deleteLost, 70)
	percent("call fails", &p.callFails, 40)
	percent("call lost", &p.callLost, 30)
	percent("call slow", &p.callSlow, 30)
	percent("entry fails", &p.entryFails, 30)
	percent("init fails", &p.initFails, 30)
	percent("killed", &p.killed, 30)
	percent("answer lost", &p.answerLost, 20)
	percent("frozen", &p.frozen, 15)
	percent("late", &p.late, 15)
	percent("aged", &p.aged, 40)
	percent("resent", &p.resent, 40)
	if rng.IntN(4) == 0 {
		p.deadLettersDown = true
		p.drawn = append(p.drawn, "dead-letter queue down")
	}
	if rng.IntN(4) == 0 {
		p.skew = upTo(10*time.Minute) - 5*time.Minute
		p.drawn = append(p.drawn, fmt.Sprintf("clock skew %v", p.skew))
	}
	percent("answer cut", &p.answerCut, 30)
	percent("entry missing", &p.entryMissing, 40)
	percent("Segment's answer cut", &p.segmentCut, 30)
	p.poison = max(0, rng.IntN(6)-2)
	p.script = segmentd.Script{Seed: seed, Rules: p.segmentFaults(rng, upTo)}
	p.drawWorld(rng)
	p.drawArchive(rand.New(rand.NewPCG(seed, 0xa7c41)))
	if seed%15 == 7 {
		// More batches than the invocations of five pollers have time for: each invocation has 55 s
		// and sends eight batches at a time.
		p.burst = 250 + rng.IntN(100)
		p.script.Rules = append([]segmentd.Rule{{Latency: segmentd.Duration(8 * time.Second),
			Jitter: segmentd.Duration(1900 * time.Millisecond)}}, p.script.Rules...)
		p.drawn = append(p.drawn, fmt.Sprintf("%d batches at once, Segment: very slow", p.burst))
	}
	return p
}

// drawWorld draws what there is besides messages that are sent by hand.
func (p *plan) drawWorld(rng *rand.Rand) {
	some := func(name string, oneOf uint64) bool {
		// By the seed, so that few seeds in a row have each of them.
		is := p.seed%oneOf == 1
		if is {
			p.drawn = append(p.drawn, name)
		}
		return is
	}
	p.producers = some("producers", 2)
	if some("SQS loses its power", 5) {
		p.powerCuts = 1 + rng.IntN(3)
	}
	if p.producers {
		p.restarts = rng.IntN(4)
		p.drawn = append(p.drawn, fmt.Sprintf("publishers end %d times", p.restarts))
	}
	if some("more poison than a batch may have", 4) {
		p.flood = 9 + rng.IntN(12)
	}
	p.full = some("full batches", 6)
	p.endless = some("an endless search", 13)
	if p.fewReceives = some("few receives", 7); p.fewReceives {
		// What SQS moves has its time by SQS's own clock.
		p.skew, p.aged, p.resent = 0, 0, 0
		p.killed = max(p.killed, 40)
	}
}

// drawArchive draws how the archive fails, and whether there is one.
func (p *plan) drawArchive(rng *rand.Rand) {
	if p.archive = p.seed%8 != 5; !p.archive {
		p.drawn = append(p.drawn, "no archive")
		return
	}
	if p.archiveAway = rng.IntN(4) == 0; p.archiveAway {
		p.drawn = append(p.drawn, "archive away")
	}
	if p.bulkDown = rng.IntN(3) == 0; p.bulkDown {
		p.drawn = append(p.drawn, "bulk queue down")
	}
	for _, f := range []struct {
		name  string
		field *float64
		most  float64
	}{{"archive fails", &p.archiveFails, 90}, {"archive hangs", &p.archiveHangs, 60}, {"archive slow", &p.archiveSlow, 60},
		{"archive takes a part", &p.archivePart, 80}, {"archive's answer lost", &p.archiveLost, 60}} {
		if rng.IntN(4) == 0 {
			*f.field = 1 + rng.Float64()*f.most
			if f.field == &p.archiveFails && p.fewReceives { // so that SQS moves archive-only messages too
				*f.field = max(*f.field, 80)
			}
			p.drawn = append(p.drawn, fmt.Sprintf("%s %.0f %%", f.name, *f.field))
		}
	}
}

// segmentFaults draws up to four faults of Segment, each for all or a part of the time, and whether
// Segment is slow.
func (p *plan) segmentFaults(rng *rand.Rand, upTo func(time.Duration) time.Duration) []segmentd.Rule {
	var rules []segmentd.Rule
	for range rng.IntN(5) {
		var r segmentd.Rule
		var name string
		if rng.IntN(2) == 0 {
			r.Percent = float64(5 + rng.IntN(90))
		}
		if rng.IntN(3) > 0 {
			r.From.After = upTo(p.lasts / 2)
			r.Until.After = r.From.After + upTo(p.lasts/2)
		}
		retryAfter := segmentd.Duration(upTo(3 * time.Minute))
		switch rng.IntN(15) {
		case 0:
			name, r.Status = "429", 429
		case 1:
			name, r.Status, r.RetryAfter = "429 with Retry-After", 429, retryAfter
		case 2:
			name, r.Status, r.RetryAfter, r.RetryAfterDate = "429 with a date", 429, retryAfter, true
		case 3:
			name, r.EventsPerSecond = "rate limit", float64(5+rng.IntN(200))
		case 4:
			name, r.Status = "500", 500
		case 5:
			name, r.Status = "503", 503
		case 6:
			name, r.Status, r.RetryAfter = "503 with Retry-After", 503, retryAfter
		case 7:
			name, r.Status, r.Match.WriteKey = "401 for a key", 401, writeKeys[rng.IntN(len(writeKeys))]
		case 8:
			name, r.Status = "401", 401
		case 9:
			name, r.Fault = "reset", segmentd.FaultReset
		case 10:
			name, r.Fault = "hang", segmentd.FaultHang
		case 11:
			name, r.Fault = "half answer", segmentd.FaultHalfAnswer
		case 12:
			name, r.Fault, r.Over = "slow answer", segmentd.FaultSlowBody, segmentd.Duration(upTo(20*time.Second))
		case 13:
			name, r.Fault = "redirect", segmentd.FaultRedirect
		case 14:
			name, r.Status, r.Accept = "500 after accepting", 500, true
		}
		rules = append(rules, r)
		p.drawn = append(p.drawn,
			fmt.Sprintf("Segment: %s (%v %% of %v to %v)", name, r.Percent, r.From.After, r.Until.After))
	}
	if rng.IntN(3) == 0 {
		rules = append(rules, segmentd.Rule{Latency: segmentd.Duration(upTo(9 * time.Second)),
			Jitter: segmentd.Duration(time.Second)})
		p.drawn = append(p.drawn, "Segment: slow")
	}
	return rules
}
