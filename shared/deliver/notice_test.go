package deliver

import (
	"testing"
	"time"
)

func TestNoticesSayWhatChangedInAnEnvironment(t *testing.T) {
	const old, fresh = 30 * time.Minute, 2 * time.Second
	ages := func(all ...time.Duration) []time.Duration { return all }
	var n Notices
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		what    string
		after   time.Duration
		report  Report
		want    []Notice
		drained bool
	}{
		{"a quiet start", 0, Report{Ages: ages(fresh)}, nil, false},
		{"two reasons", time.Second, Report{DeadLettered: map[string]int{"rejected": 2, "invalid": 1}},
			[]Notice{{NoticeDeadLetter, NoticeDetail{Reason: "invalid", Events: 1}},
				{NoticeDeadLetter, NoticeDetail{Reason: "rejected", Events: 2}}}, false},
		{"Segment fails", time.Second, Report{BreakerOpen: true, Causes: map[string]int{"a": 1, "503": 9}, Ages: ages(fresh)},
			[]Notice{{NoticeBreakerOpened, NoticeDetail{Cause: "503"}}}, false},
		{"and goes on failing", 40 * time.Minute, Report{BreakerOpen: true, Ages: ages(old)}, nil, false},
		{"Segment is back", time.Minute, Report{Ages: ages(old)},
			[]Notice{{NoticeBreakerClosed, NoticeDetail{OpenSeconds: 41 * 60}}}, false},
		{"old and new", time.Minute, Report{Ages: ages(fresh, old)}, nil, false},
		{"some are retried", time.Minute, Report{Ages: ages(fresh), Retried: map[string]int{"transient": 1}}, nil, false},
		{"an old one waits for its next attempt", time.Minute, Report{Ages: ages(fresh), Waiting: old}, nil, false},
		{"only new ones", time.Minute, Report{Ages: ages(fresh)}, nil, true},
		{"the queue has just been asked", time.Second, Report{Ages: ages(fresh)}, nil, false},
		{"a minute later", time.Minute, Report{Ages: ages(fresh)}, nil, true},
	} {
		now = now.Add(step.after)
		got, drained := n.After(&step.report, now)
		if len(got) != len(step.want) || drained != step.drained {
			t.Fatalf("%s: %+v, %v, want %+v, %v", step.what, got, drained, step.want, step.drained)
		}
		for i := range got {
			if got[i] != step.want[i] {
				t.Errorf("%s: %+v, want %+v", step.what, got[i], step.want[i])
			}
		}
	}
	if got := n.Drained(); got != (Notice{NoticeBacklogDrained, NoticeDetail{OldestSeconds: 1800}}) {
		t.Errorf("drained: %+v", got)
	}
	if _, drained := n.After(&Report{Ages: ages(fresh)}, now.Add(time.Hour)); drained {
		t.Error("a backlog is drained twice")
	}
}
