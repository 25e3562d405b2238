package report

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/spillwayhq/spillway/infra/local/drill"
	"github.com/spillwayhq/spillway/infra/local/drill/old"
)

var sampleStart = time.Date(2018, 9, 24, 0, 0, 0, 0, time.UTC)

func on(hour, minute, second int) time.Time {
	return sampleStart.Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute +
		time.Duration(second)*time.Second)
}

func until(hour, minute, second int) *time.Time {
	t := on(hour, minute, second)
	return &t
}

// sample is a result as the drill of the incident gives one.
func sample() *drill.Result {
	const minutes = 24 * 60
	random := rand.New(rand.NewPCG(1, 2))
	values := map[string][]*float64{}
	put := func(name string, v float64) { values[name] = append(values[name], &v) }
	gap := func(name string) { values[name] = append(values[name], nil) }
	var day []old.Minute
	backlog, since := 0.0, 0.0
	for i := range minutes {
		rate := 1200 * (0.65 + 0.35*math.Sin(2*math.Pi*float64(i-480)/minutes)) * (0.97 + 0.06*random.Float64())
		if i >= 480 {
			rate *= 1.8
		}
		away, slow := i >= 600 && i < 860, i >= 560 && i < 600
		answer := 50 * time.Millisecond
		if slow {
			answer = 10 * time.Second
		}
		day = append(day, old.Minute{Events: rate, Away: away, Answer: answer})
		sent := min(backlog+rate, 60_000)
		switch {
		case away:
			sent, since = 0, since+60
		case slow:
			sent, since = min(backlog+rate, 1500), since+12
		default:
			since = max(0, since-20*60)
		}
		backlog += rate - sent
		p50 := 0.0011 + 0.0002*random.Float64()
		put("p50", p50)
		put("p99", p50*(2.5+random.Float64()))
		if i >= 700 && i < 730 {
			for _, name := range []string{"accepted", "delivered", "waiting", "age", "2xx", "5xx", "invocations"} {
				gap(name)
			}
			continue
		}
		put("accepted", rate)
		put("delivered", sent)
		put("waiting", backlog)
		put("age", since+1)
		put("2xx", sent/18)
		failed, running := 0.0, 1.0
		if away {
			failed, running = 6+random.Float64(), 2
		}
		put("5xx", failed)
		put("invocations", running+math.Round(random.Float64()))
	}
	series := func(chart, name, unit, key string) drill.Series {
		return drill.Series{Chart: chart, Name: name, Unit: unit, Values: values[key]}
	}
	drain := 8.6 * 60
	seg := drill.Firing{From: on(10, 4, 10), To: until(14, 26, 0), Notified: false,
		Reason: "Threshold Crossed: 3 out of the last 6 datapoints were greater than the threshold (0.5)."}
	return &drill.Result{
		Scenario: "incident", Title: "24 September 2018, replayed", Seed: 1, EventsPerSecond: 20, Start: sampleStart,
		Minutes: minutes,
		Story: "From 08:00 the API tracks 1.8 times as many events as before. At 09:20 Segment becomes slow, at 10:00 it " +
			"is away for " +
			"4 h 20 min, and for half an hour of that the metrics are away too. Then Segment comes back.",
		Marks: []drill.Mark{
			{Kind: drill.Load, From: on(8, 0, 0), To: until(24, 0, 0), Text: "The API tracks 1.8 times as much"},
			{Kind: drill.Fault, From: on(9, 20, 0), To: until(10, 0, 0), Text: "Segment takes 10 s for an answer"},
			{Kind: drill.Fault, From: on(10, 0, 0), To: until(14, 20, 0), Text: "Segment is away"},
			{Kind: drill.Fault, From: on(11, 40, 0), To: until(12, 10, 0), Text: "No metrics arrive"},
			{Kind: drill.Outcome, From: on(14, 28, 36), Text: "The queue is empty again"},
		},
		Series: []drill.Series{
			series(drill.ChartAPILatency, "p50", drill.Seconds, "p50"),
			series(drill.ChartAPILatency, "p99", drill.Seconds, "p99"),
			series(drill.ChartBacklog, "waiting", drill.EventCount, "waiting"),
			series(drill.ChartTraffic, "accepted", drill.PerMinute, "accepted"),
			series(drill.ChartTraffic, "delivered", drill.PerMinute, "delivered"),
			series(drill.ChartOldest, "oldest", drill.Seconds, "age"),
			series(drill.ChartAnswers, "2xx", drill.PerMinute, "2xx"), series(drill.ChartAnswers, "5xx", drill.PerMinute, "5xx"),
			series(drill.ChartConcurrency, "invocations", drill.InvocationCount, "invocations"),
		},
		Alarms: []drill.Alarm{
			{Name: "spillway-delivery-down", Severity: "critical", Composite: true, Section: "delivery-down",
				MustFireBy: until(10, 7, 0),
				Meaning:    "events are not delivered to Segment. They are safe in the queue for 10 days.",
				First:      "Look at status.segment.com, and read the alarms that are part of this one.",
				Firings:    []drill.Firing{{From: on(10, 5, 30), To: until(14, 27, 0), Notified: true}}},
			{Name: "spillway-segment-failing", Severity: "critical", Section: "segment-failing", MustFireBy: until(10, 5, 30),
				Meaning: "Segment fails.", First: "Look at status.segment.com.", Firings: []drill.Firing{seg}},
			{Name: "spillway-segment-slow", Severity: "critical", Section: "segment-failing", MustFireBy: until(9, 26, 0),
				Meaning: "Segment is slow.", First: "Look at status.segment.com; nothing is to be done here.",
				Firings: []drill.Firing{
					{From: on(9, 24, 20), To: until(10, 20, 0), Notified: true},
					{From: on(10, 40, 20), To: until(10, 50, 0), Notified: false}}},
			{Name: "spillway-backlog-age-warning", Severity: "warning", Section: "backlog-age",
				Meaning: "the oldest event is older than 5 min",
				First:   "See what else fires: this is a consequence.",
				Firings: []drill.Firing{{From: on(10, 12, 0), To: until(14, 31, 0), Notified: true}}},
			{Name: "spillway-dead-letters", Severity: "warning", Section: "dead-letters", MustBeSilent: true},
			{Name: "spillway-ingest-down", Severity: "critical", Composite: true, Section: "ingest-down", MustBeSilent: true},
			{Name: "spillway-canary-silent", Severity: "critical", Section: "canary-silent", MustBeSilent: true},
		},
		Events: drill.Events{Accepted: 1_912_442, Delivered: 1_912_438, DeadLettered: map[string]int64{"invalid": 4},
			Duplicates: 212,
			Refused:    map[string]int64{"no_user_anon_id": 17}},
		API:          drill.API{Calls: 95_622, P50Seconds: 0.0012, P99Seconds: 0.0041, MaxSeconds: 0.019},
		DrainSeconds: &drain,
		Cost: drill.Cost{Dollars: 1.13, UsualDollars: 0.87, Lines: []drill.CostLine{
			{What: "SQS requests", Dollars: 0.31}, {What: "Lambda", Dollars: 0.22},
			{What: "alarms, metrics, dashboard", Dollars: 0.58}, {What: "logs", Dollars: 0.02}}},
		Parameters: []drill.Parameter{
			{Name: "Invocations of deliver at once", Value: "10", Source: "infra/topology: the deployment's default."},
			{Name: "Lag of our own metrics", Value: "1 min",
				Source: "AWS, \"Embedded metric format\": usually within a minute; the alarms hold for 0 to 3 min."},
			{Name: "Lag of SQS's metrics", Value: "1 min, 15 min after a time without a message",
				Source: "AWS, \"Available CloudWatch metrics for Amazon SQS\"."},
			{Name: "Segment takes", Value: "1,000 events/s", Source: "Segment, \"HTTP API source\", rate limits."},
		},
		Old: old.Play(sampleStart, day, old.Sized(20)),
	}
}
