package drill

import (
	"testing"
	"time"
)

func TestTheFirstNoticeIsCountedFromWhatThereWasToTell(t *testing.T) {
	minute := func(n int) time.Time { return day.Add(time.Duration(n) * time.Minute) }
	mark := func(k Kind, n int) Mark { return Mark{Kind: k, From: minute(n)} }
	alarm := func(name string, notified bool, minutes ...int) Alarm {
		a := Alarm{Name: name}
		for _, n := range minutes {
			a.Firings = append(a.Firings, Firing{From: minute(n), Notified: notified})
		}
		return a
	}
	for _, c := range []struct {
		name   string
		marks  []Mark
		alarms []Alarm
		alarm  string // empty: nobody was told
		after  time.Duration
	}{
		{"nothing happened", nil, nil, "", 0},
		{"an alarm without a cause", nil, []Alarm{alarm("a", true, 5)}, "", 0},
		{"a fault that nobody was told of", []Mark{mark(Fault, 10)}, []Alarm{alarm("a", false, 12)}, "", 0},
		{"an alarm before the fault says nothing of it", []Mark{mark(Fault, 10)}, []Alarm{alarm("a", true, 5)}, "", 0},
		{"the earliest that notified", []Mark{mark(Fault, 10)},
			[]Alarm{alarm("late", true, 3, 20), alarm("pale", false, 11), alarm("first", true, 14, 30)}, "first",
			4 * time.Minute},
		{"the fault counts, and not the load before it", []Mark{mark(Load, 1), mark(Fault, 10)},
			[]Alarm{alarm("a", true, 14)},
			"a", 4 * time.Minute},
		{"without a fault the load or what people did", []Mark{mark(Outcome, 1), mark(Action, 2)},
			[]Alarm{alarm("a", true, 5)},
			"a", 3 * time.Minute},
	} {
		r := &Result{Marks: c.marks, Alarms: c.alarms}
		got, ok := r.FirstNotice()
		if ok != (c.alarm != "") || got.Alarm != c.alarm || got.After != c.after {
			t.Errorf("%s: %+v, want %q after %v", c.name, got, c.alarm, c.after)
		}
	}
}

func TestEveryNotificationIsCounted(t *testing.T) {
	r := &Result{Alarms: []Alarm{{Firings: []Firing{{Notified: true}, {}, {Notified: true}}},
		{Firings: []Firing{{Notified: true}}}, {}}}
	if n := r.Notifications(); n != 3 {
		t.Errorf("%d notifications, want 3", n)
	}
}
