package topology

import (
	"time"

	"github.com/spillwayhq/spillway/shared/operator"
)

// reminder is how long something may be paused by hand before somebody is reminded of it. A period
// of five minutes has a value even where the canary's function missed a minute; the first is a part
// of one.
const (
	reminder       = time.Hour
	reminderPeriod = 5 * time.Minute
)

// pauseAlarms are about what a person has paused by hand. While delivery is paused its own alarms
// tell nobody (see composites): that it stands still is no news. So the first of these says so at
// once, and the second pages, because a pause that somebody forgot is an outage that no other alarm
// tells of, and SQS deletes events after 14 days. Other write keys go on while one is paused: that
// waits for the morning.
//
// The first ends when its metric stops: the canary's function has stopped then, and an alarm that
// went on would suppress delivery's for ever.
func pauseAlarms(n Names) []Alarm {
	long := func(name string, s Severity, metric, meaning, first string) Alarm {
		return Alarm{
			Name: n.Alarm(name), Severity: s, Section: name,
			Metrics:   []Metric{n.own("p", "canary", metric, "Maximum")},
			Threshold: 0, Period: reminderPeriod, Periods: int(reminder/reminderPeriod) + 2,
			Breaching: int(reminder/reminderPeriod) + 1, Missing: MissingIsSilent,
			Unit: map[string]string{operator.PausedKeysMetric: "write keys"}[metric], Meaning: meaning, First: first,
		}
	}
	return []Alarm{
		{
			Name: n.Alarm(paused), Severity: Warning, Section: paused,
			Metrics:   []Metric{n.own("p", "canary", operator.PausedMetric, "Maximum")},
			Threshold: 0, Period: time.Minute, Periods: 1 + maxLag, Breaching: 1, Missing: MissingIsGood,
			Meaning: "a person has paused delivery. Events wait in the queue, and delivery's other alarms tell nobody.",
			First:   "run spillway doctor: it says who paused, since when and why; spillway resume ends it.",
		},
		long("paused-long", Critical, operator.PausedMetric,
			"delivery has been paused by hand for an hour. SQS deletes events that have waited for 14 days.",
			"ask who paused it (spillway doctor says who), and run spillway resume once the reason is gone."),
		long("paused-keys", Warning, operator.PausedKeysMetric,
			"a write key has been paused by hand for an hour (the value: how many). Its events wait, for up to 10 days.",
			"ask who paused it (spillway doctor says who), and run spillway resume --write-key once the reason is gone."),
	}
}

// paused is the alarm that suppresses delivery's own.
const paused = "paused"
