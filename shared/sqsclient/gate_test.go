package sqsclient

import (
	"testing"
	"time"
)

func TestTheGateShutsAfterFailuresAndLetsOneProbeThrough(t *testing.T) {
	now := time.Unix(1000, 0)
	var g Gate
	fail := func() {
		t.Helper()
		if !g.Begin(now) {
			t.Fatal("no call may be made")
		}
		g.End(now, true, false)
	}
	is := func(shut bool) {
		t.Helper()
		if g.Shut(now) != shut {
			t.Errorf("shut is %v, want %v", !shut, shut)
		}
	}
	fail()
	fail()
	is(false)
	g.Begin(now)
	g.End(now, false, false) // a success between them
	fail()
	fail()
	is(false)
	fail()
	is(true)
	if g.Begin(now) {
		t.Error("a call is made while it is shut")
	}
	now = now.Add(ShutFor)
	is(false)
	if !g.Begin(now) {
		t.Error("no probe is let through")
	}
	is(true)
	if g.Begin(now) {
		t.Error("two probes are let through")
	}
	g.End(now, true, false)
	is(true)
	now = now.Add(ShutFor)
	g.Begin(now)
	g.End(now, false, false)
	is(false)
	for range 2 {
		if !g.Begin(now) {
			t.Error("it is not open")
		}
	}
}

func TestACallWithoutAnAnswerShutsTheGateAtOnce(t *testing.T) {
	now := time.Unix(1000, 0)
	var g Gate
	g.Begin(now)
	g.End(now, true, true)
	if !g.Shut(now) {
		t.Error("it is open")
	}
	now = now.Add(ShutFor)
	if !g.Begin(now) {
		t.Error("no probe is let through")
	}
	g.End(now, false, false)
	if g.Shut(now) {
		t.Error("it is shut when the queue answers")
	}
}
