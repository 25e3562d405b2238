package live

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/cloudwatch"
	"github.com/spillwayhq/spillway/shared/operator"
)

func TestViewShowsTheRateOfTheLastSeconds(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var v view
	at := func(after time.Duration, delivered int64) local.Status {
		return local.Status{At: start.Add(after), Totals: local.Totals{Delivered: delivered}}
	}
	for _, c := range []struct {
		status local.Status
		want   float64
	}{
		{at(0, 0), 0},
		{at(500*time.Millisecond, 500), 1000},
		{at(2*time.Second, 4000), 2000},
		{at(4*time.Second, 4000), 0}, // against the status of 2 s before
		{at(14*time.Second, 14_000), 1000},
	} {
		if got := v.rate(c.status); got != c.want {
			t.Errorf("%v after the start: %.0f events/s, want %.0f", c.status.At.Sub(start), got, c.want)
		}
	}
}

func TestViewShowsTheLastCanary(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	arrived := local.Canary{On: true, At: now.Add(-12 * time.Second), Latency: 35 * time.Millisecond}
	failed := arrived
	failed.Failure = "the ingest endpoint answered 429"
	for _, c := range []struct {
		canary     local.Canary
		drawn, row string
	}{
		{local.Canary{}, "canary        off", ""},
		{local.Canary{On: true}, "canary        none yet\n", " canary=none"},
		{arrived, "canary        35 ms, 12.0s ago\n", " canary=35ms canary_ago=12.0s"},
		{failed, "canary        35 ms, 12.0s ago; the last one failed",
			` canary=35ms canary_ago=12.0s canary_failure="the ingest endpoint answered 429"`},
	} {
		var v view
		s := local.Status{At: now, Canary: c.canary}
		if drawn := v.draw(s, 80); !strings.Contains(drawn, c.drawn) {
			t.Errorf("%q is missing in:\n%s", c.drawn, drawn)
		}
		if line := v.line(s); !strings.HasSuffix(line, "shed_requests=0"+c.row) {
			t.Errorf("the line does not end in %q: %s", c.row, line)
		}
	}
}

// Most people never use the bulk queue.
func TestViewShowsTheBulkQueueOnceItWasUsed(t *testing.T) {
	for _, c := range []struct {
		bulk        local.Bulk
		drawn, line string
	}{
		{local.Bulk{}, "", ""},
		{local.Bulk{Sent: 10_000, BacklogEvents: 4000, Backlog: 40, InFlight: 8, OldestAge: time.Minute},
			"bulk          4,000 events in 40 messages, 8 of them in flight; 10,000 events sent",
			" bulk_sent=10000 bulk_backlog_events=4000 bulk_backlog_messages=40 bulk_in_flight=8 bulk_oldest=1m0s"},
		{local.Bulk{Sent: 1}, "bulk          0 events in 0 messages, 0 of them in flight; 1 event sent", " bulk_sent=1 "},
	} {
		var v view
		s := local.Status{At: time.Now(), Bulk: c.bulk}
		if drawn := v.draw(s, 100); !strings.Contains(drawn, c.drawn) || strings.Contains(drawn, "bulk") != (c.drawn != "") {
			t.Errorf("%q is missing in:\n%s", c.drawn, drawn)
		}
		if line := v.line(s); !strings.Contains(line, c.line) || strings.Contains(line, "bulk") != (c.line != "") {
			t.Errorf("%q is missing in %s", c.line, line)
		}
	}
}

func TestViewDrawsOverItsPreviousBlock(t *testing.T) {
	var v view
	first := v.draw(local.Status{At: time.Now(), Accepted: 1_234_567, Backlog: 12, BacklogEvents: 3000,
		OldestAge: 90 * time.Second}, 80)
	for _, want := range []string{"accepted      1,234,567 events", "3,000 events in 12 messages", "oldest        1m30s"} {
		if !strings.Contains(first, want) {
			t.Errorf("%q is missing in:\n%s", want, first)
		}
	}
	if strings.Contains(first, "A\x1b") || !strings.HasPrefix(v.draw(local.Status{At: time.Now()}, 80), "\x1b[12A") {
		t.Error("the second drawing does not begin where the first one did")
	}
}

func TestViewWrapsItsLinesSoThatTheNextBlockCoversThem(t *testing.T) {
	escapes := regexp.MustCompile("\x1b\\[[0-9]*[A-Z]")
	long := local.Status{At: time.Now(),
		Degraded: "Segment can't be reached or fails: events are retried within 15 min"}
	for _, columns := range []int{1, 27, 40, 80, 200} {
		var v view
		lines := strings.Split(escapes.ReplaceAllString(v.draw(long, columns), ""), "\n")
		for _, line := range lines {
			if n := utf8.RuneCountInString(line); n > max(columns, indent+10) {
				t.Errorf("a line of %d in %d columns: %q", n, columns, line)
			}
		}
		if again, up := v.draw(local.Status{At: time.Now()}, columns),
			fmt.Sprintf("\x1b[%dA", len(lines)-1); !strings.HasPrefix(again, up) || !strings.HasSuffix(again, "\x1b[J") {
			t.Errorf("%d columns: it does not cover %d lines: %q", columns, len(lines)-1, again)
		}
	}
}

func TestTheAlarmsRowNamesEveryAlarmThatIsNotOK(t *testing.T) {
	alarm := func(name string, state cloudwatch.State) local.Alarm { return local.Alarm{Name: name, State: state} }
	for _, c := range []struct {
		alarms      []local.Alarm
		drawn, line string
	}{
		{nil, "alarms        off", ""},
		{[]local.Alarm{alarm("a", cloudwatch.InsufficientData)}, "alarms        evaluated at the end of each minute", ""},
		{[]local.Alarm{alarm("a", cloudwatch.OK), alarm("b", cloudwatch.OK)}, "alarms        2 ok\n", ""},
		{[]local.Alarm{alarm("a", cloudwatch.OK), alarm("b", cloudwatch.InsufficientData)},
			"alarms        1 ok; no data: b\n", ""},
		{[]local.Alarm{alarm("a", cloudwatch.Alarm), alarm("b", cloudwatch.OK), alarm("c", cloudwatch.Alarm)},
			"alarms        ALARM: a, c; 1 ok\n", " alarms=a,c"},
	} {
		var v view
		s := local.Status{At: time.Now(), Alarms: c.alarms}
		if drawn := v.draw(s, 80); !strings.Contains(drawn, c.drawn) {
			t.Errorf("%q is missing in:\n%s", c.drawn, drawn)
		}
		if line := v.line(s); !strings.HasSuffix(line, "shed_requests=0"+c.line) {
			t.Errorf("the line does not end in %q: %s", c.line, line)
		}
	}
}

func TestAChangeOfAnAlarmIsALineWithWhatToDo(t *testing.T) {
	at := time.Date(2018, 9, 24, 10, 0, 0, 0, time.UTC)
	change := func(from, to cloudwatch.State) local.AlarmChange {
		return local.AlarmChange{Text: "CRITICAL: it is down. First: look. More: runbook#down", After: 7 * time.Minute,
			Change: cloudwatch.Change{At: at, Alarm: "down", From: from, To: to, Reason: "stalled: ALARM", Notified: true}}
	}
	for _, c := range []struct {
		change local.AlarmChange
		want   string
	}{
		{change(cloudwatch.OK, cloudwatch.Alarm),
			"2018-09-24T10:00:00Z ALARM down: CRITICAL: it is down. First: look. More: runbook#down (stalled: ALARM)"},
		{change(cloudwatch.Alarm, cloudwatch.OK), "2018-09-24T10:00:00Z OK down: over after 7m0s; stalled: ALARM"},
		{change(cloudwatch.Alarm, cloudwatch.Alarm),
			"2018-09-24T10:00:00Z ALARM down: notified now; CRITICAL: it is down. First: look. More: runbook#down"},
	} {
		if got := alarmLine(c.change); got != c.want {
			t.Errorf("%s\nwant\n%s", got, c.want)
		}
	}
}

// A line between two drawings must not leave a half of the block behind.
func TestALineTakesThePlaceOfTheBlock(t *testing.T) {
	var v view
	if got := v.erase(); got != "" {
		t.Errorf("without a block: %q", got)
	}
	v.draw(local.Status{At: time.Now()}, 80)
	if got := v.erase(); got != "\x1b[12A\x1b[J" {
		t.Errorf("%q", got)
	}
	if got := v.draw(local.Status{At: time.Now()}, 80); strings.HasPrefix(got, "\x1b[12A") {
		t.Error("the next block is drawn over the line")
	}
}

func TestViewShowsTheStatusSiteOnlyWhenItIsNotWritten(t *testing.T) {
	var v view
	if drawn := v.draw(local.Status{}, 80) + v.line(local.Status{}); strings.Contains(drawn, "status") {
		t.Errorf("while it is written the view has:\n%s", drawn)
	}
	s := local.Status{StatusSite: "not written: no space left on device"}
	if drawn := v.draw(s, 80); !strings.Contains(drawn, "status site   not written: no space left on device\n") {
		t.Errorf("it is missing in:\n%s", drawn)
	}
	if line := v.line(s); !strings.Contains(line, ` status_site="not written: no space left on device"`) {
		t.Errorf("it is missing in: %s", line)
	}
}

func TestViewShowsWhatIsPaused(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := local.Status{At: since, Degraded: "delivery has been paused since 2026-01-02 03:04 UTC by ann",
		PausedKeys: operator.Keys{"4e5f6071": {Since: since}, "0a1b2c3d": {Since: since, By: "ann", Reason: "it loops"}}}
	var v view
	drawn := v.draw(s, 120)
	for _, want := range []string{"degraded      delivery has been paused since 2026-01-02 03:04 UTC by ann\n",
		"paused key    0a1b2c3d since 2026-01-02 03:04 UTC by ann: it loops\n", "paused key    4e5f6071 since 2026-01-02 03:04 UTC\n"} {
		if !strings.Contains(drawn, want) {
			t.Errorf("%q is missing in:\n%s", want, drawn)
		}
	}
	if line := v.line(s); !strings.Contains(line, `degraded="delivery has been paused since`) || !strings.HasSuffix(line, " paused_keys=0a1b2c3d,4e5f6071") {
		t.Errorf("the line is %s", line)
	}
}

func TestViewShowsWhatTheArchiveHasAndWhetherItTakesEvents(t *testing.T) {
	oldest := time.Date(2026, 11, 1, 13, 0, 0, 0, time.Local)
	for _, c := range []struct {
		dir         string
		archive     local.Archive
		drawn, line string
	}{
		{"", local.Archive{}, "archive       off", ""},
		{"/data/archive", local.Archive{Events: 1234, Bytes: 3 << 20, Oldest: oldest},
			"archive       1,234 events, 3.0 MiB on disk since 2026-11-01 13:00\n",
			" archived=1234 archive_waiting=0 archive_bytes=3145728"},
		{"/data/archive", local.Archive{Removed: 10, Waiting: 7, Failure: "no space"},
			"0 events, 0 B on disk; 10 old events removed; 7 had to wait; it fails: no space",
			` archived=0 archive_waiting=7 archive_bytes=0 archive_failure="no space"`},
	} {
		var v view
		s := local.Status{At: time.Now(), ArchiveDir: c.dir, Archive: c.archive}
		if drawn := v.draw(s, 120); !strings.Contains(drawn, c.drawn) {
			t.Errorf("%q is missing in:\n%s", c.drawn, drawn)
		}
		if line := v.line(s); !strings.Contains(line, c.line) || strings.Contains(line, "archive") != (c.line != "") {
			t.Errorf("%q is missing in %s", c.line, line)
		}
	}
}
