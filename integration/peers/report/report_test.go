package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/integration/peers/peer"
)

var peers = []peer.Peer{
	{Name: "slow", What: "Jobs <slow> & more", Queue: peer.Redis},
	{Name: "spillway", What: "**Spillway**", Queue: peer.SQS, Function: &peer.Function{}, Lossless: true},
}

// whole are results of both peers, in which nothing of Spillway's is lost.
func whole() *Results {
	r := &Results{Peers: peers}
	for _, p := range peers {
		for i, took := range []time.Duration{3, 1, 2} {
			for _, l := range []time.Duration{0, latency} {
				r.Drains = append(r.Drains, Drain{Peer: p.Name, Latency: l, Round: i, Events: 1000, Took: took * time.Second,
					WorkerCPU: 10 * time.Millisecond, QueueCPU: 5 * time.Millisecond, WorkerRSS: 20e6, QueueRSS: 30e6,
					Processes: 1})
			}
		}
		for _, kind := range []string{"kill", "away"} {
			r.Faults = append(r.Faults, Fault{Peer: p.Name, Kind: kind, Events: 500, Doubled: 7, Took: 75 * time.Second,
				Away: time.Minute})
		}
	}
	return r
}

func TestTheTablesHaveTheMedianOfTheRuns(t *testing.T) {
	text := whole().Text(Machine{Command: "run"})
	for _, want := range []string{
		"| **Spillway** | 1,000 | 2.0 s | 500 | 500 | 10 + 5 µs | 20 MB, 30 MB |",
		"| Jobs <slow> & more | 1,000 | 2.0 s |", "servers for Redis and workers",
		"| **Spillway** | 0 lost | 0 lost, 7 doubled | 0 lost, 7 doubled; the last after 75 s |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the tables lack %q:\n%s", want, text)
		}
	}
}

func TestTheTableSaysForHowLongSegmentWasAway(t *testing.T) {
	for away, want := range map[time.Duration]string{
		time.Minute: "Segment is away for a minute", 2 * time.Second: "Segment is away for 2s",
	} {
		r := Results{Peers: []peer.Peer{{Name: "p"}}, Faults: []Fault{{Peer: "p", Kind: "away", Away: away}}}
		if head := r.losing().Head; !slices.Contains(head, want) {
			t.Errorf("away for %v: the table's head is %q, want %q in it", away, head, want)
		}
	}
}

func TestWhatIsStillInTheQueueIsNotCalledLost(t *testing.T) {
	d, f := Drain{Events: 100, Lost: 10, Left: 10}, Fault{Events: 100, Lost: 10, Left: 1}
	for _, got := range []string{d.text(), f.text()} {
		if want := "10 still in flight when the run ended"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestAMillionEventsCostWhatTheirUseDoes(t *testing.T) {
	d := Drain{Events: 1000, Requests: 100, Invocations: 10, GBSeconds: 0.5, WireBytes: 1e6, LogBytes: 5500}
	// 100,000 requests of SQS, 10,000 invocations, 500 GB-s, 1 GB to Segment and 10 MB of logs.
	const want = 0.1*0.40 + 0.01*0.20 + 500*0.0000133334 + 0.09 + 0.01*0.50
	if got := d.Usage().Bill().Total(); math.Abs(got-want) > 1e-6 {
		t.Errorf("$%f, want $%f", got, want)
	}
}

func TestARunInWhichSpillwayLosesAnythingFails(t *testing.T) {
	if err := whole().Check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Results){
		"an event lost in a drain":        func(r *Results) { r.Drains[len(r.Drains)-1].Lost = 1 },
		"a message left in a drain":       func(r *Results) { r.Drains[len(r.Drains)-1].Left = 1 },
		"an event lost in a fault":        func(r *Results) { r.Faults[3].Lost = 1 },
		"a message left after a fault":    func(r *Results) { r.Faults[2].Left = 1 },
		"a fault that was not played":     func(r *Results) { r.Faults = r.Faults[:3] },
		"a peer that was never measured":  func(r *Results) { r.Peers = append(r.Peers, peer.Peer{Name: "new"}) },
		"a peer that delivers nothing":    func(r *Results) { r.Drains[0].Lost, r.Drains[0].Left = 1000, 1 },
		"a latency that was not measured": func(r *Results) { r.Drains = r.Drains[:1] },
	} {
		r := whole()
		if spoil(r); r.Check() == nil {
			t.Errorf("%s passes", name)
		}
	}
	r := whole()
	r.Drains[0].Lost, r.Faults[0].Lost = 5, 5
	if err := r.Check(); err != nil {
		t.Errorf("what others lose is a result and not a failure: %v", err)
	}
}

func TestTheChartIsWellFormedAndReadAloud(t *testing.T) {
	var drawn bytes.Buffer
	if err := whole().Chart(&drawn); err != nil {
		t.Fatal(err)
	}
	if text := drawn.String(); !strings.Contains(text, "Spillway: 500 events/s.") {
		t.Errorf("the description lacks Spillway: %s", text)
	}
	for d := xml.NewDecoder(&drawn); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestOnlyTheTextBetweenTheLinesIsReplaced(t *testing.T) {
	page := "before\n" + pageBegin + "\nold\n" + pageEnd + "\nafter\n"
	for range 2 {
		got, err := between([]byte(page), "new\n")
		if err != nil {
			t.Fatal(err)
		}
		page = string(got)
	}
	if want := "before\n" + pageBegin + "\n\nnew\n" + pageEnd + "\nafter\n"; page != want {
		t.Errorf("got %q, want %q", page, want)
	}
	for _, broken := range []string{"", pageBegin + "\n", pageEnd + "\n" + pageBegin + "\n"} {
		if _, err := between([]byte(broken), "new\n"); err == nil {
			t.Errorf("%q has no place for the tables, and is taken", broken)
		}
	}
}
