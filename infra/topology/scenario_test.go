package topology

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// missing is the value of a minute without data.
var missing = math.NaN()

// parse parses an expression of CloudWatch's metric math, whose syntax is almost that of Go.
func parse(t *testing.T, expression string) ast.Expr {
	t.Helper()
	e, err := parser.ParseExpr(strings.NewReplacer(" AND ", " && ", " OR ", " || ", "MAX([", "MAX(", "])",
		")").Replace(expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return e
}

// evaluate is metric math for one minute, as far as the alarms use it (CloudWatch user guide,
// "Metric math syntax and functions"). The result is missing when an operand is, except that FILL
// replaces missing data and a sum takes it for 0 if the other operand is there.
func evaluate(t *testing.T, e ast.Expr, values map[string]float64) float64 {
	t.Helper()
	switch e := e.(type) {
	case *ast.BasicLit:
		n, err := strconv.ParseFloat(e.Value, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	case *ast.Ident:
		value, ok := values[e.Name]
		if !ok {
			t.Fatalf("the metric %s does not exist", e.Name)
		}
		return value
	case *ast.ParenExpr:
		return evaluate(t, e.X, values)
	case *ast.BinaryExpr:
		x, y := evaluate(t, e.X, values), evaluate(t, e.Y, values)
		switch {
		case e.Op == token.ADD && math.IsNaN(x):
			return y
		case e.Op == token.ADD && math.IsNaN(y):
			return x
		case math.IsNaN(x) || math.IsNaN(y):
			return missing
		}
		truth := func(b bool) float64 {
			if b {
				return 1
			}
			return 0
		}
		switch e.Op {
		case token.ADD:
			return x + y
		case token.SUB:
			return x - y
		case token.MUL:
			return x * y
		case token.QUO:
			return x / y // by 0: missing or infinite; the caller fails the test for the latter
		case token.GTR:
			return truth(x > y)
		case token.LSS:
			return truth(x < y)
		case token.LAND:
			return truth(x != 0 && y != 0)
		}
	case *ast.CallExpr:
		var args []float64
		for _, a := range e.Args {
			args = append(args, evaluate(t, a, values))
		}
		switch name := e.Fun.(*ast.Ident).Name; {
		case name == "FILL" && math.IsNaN(args[0]):
			return args[1]
		case name == "FILL":
			return args[0]
		case name == "MAX" && slices.ContainsFunc(args, math.IsNaN):
			return missing
		case name == "MAX":
			return slices.Max(args)
		case name == "IF" && math.IsNaN(args[0]):
			return missing
		case name == "IF" && args[0] != 0:
			return args[1]
		case name == "IF":
			return args[2]
		}
	}
	t.Fatalf("metric math of the alarms has no %T", e)
	return missing
}

// A minute is what CloudWatch has for one: values by "subject name" or "subject name value", like
// "deliver EventsRetried transient". A metric that is not there is missing.
type minute map[string]float64

func key(m Metric) string {
	subject := m.Queue + m.Function + m.Own
	if m.IngestEndpoint {
		subject = "endpoint"
	}
	return strings.TrimSpace(strings.TrimPrefix(subject, "spillway-") + " " + m.Name + " " + m.Value)
}

// firing returns the alarms, composites included, that fire at the end of the minutes.
func firing(t *testing.T, d Topology, minutes []minute) []string {
	t.Helper()
	state := map[string]bool{}
	for _, a := range d.Alarms {
		per := int(a.Period.Minutes())
		expression := parse(t, cmp.Or(a.Expression, a.Metrics[0].ID))
		var data []float64
		for first := 0; first+per <= len(minutes); first += per {
			values := map[string]float64{}
			for _, m := range a.Metrics {
				values[m.ID] = missing
				for _, minute := range minutes[first : first+per] {
					if v, ok := minute[key(m)]; ok &&
						(math.IsNaN(values[m.ID]) || m.Statistic == "Minimum" && v < values[m.ID] ||
							m.Statistic == "Maximum" && v > values[m.ID]) {
						values[m.ID] = v
					}
				}
			}
			v := evaluate(t, expression, values)
			if math.IsInf(v, 0) {
				t.Errorf("%s: %s divides by 0", a.Name, a.Expression)
			}
			data = append(data, v)
			latest := data[max(0, len(data)-a.Periods):]
			breaching, present := 0, 0
			for _, v := range latest {
				switch {
				case !math.IsNaN(v):
					present++
					if a.Below && v < a.Threshold || !a.Below && v > a.Threshold {
						breaching++
					}
				case a.Missing == MissingIsBad:
					breaching++
				}
			}
			if present > 0 || a.Missing != MissingIsSilent {
				state[a.Name] = breaching >= a.Breaching
			}
		}
	}
	for _, c := range d.Composites {
		for _, name := range c.Any {
			state[c.Name] = state[c.Name] || state[name]
		}
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(state)) {
		if state[name] {
			names = append(names, strings.TrimPrefix(name, "spillway-"))
		}
	}
	return names
}

// healthy is a minute without failures and with little load.
func healthy() minute {
	return minute{
		"events ApproximateNumberOfMessagesVisible": 0, "events ApproximateNumberOfMessagesNotVisible": 0,
		"events ApproximateAgeOfOldestMessage": 0,
		"events NumberOfMessagesSent":          1, "events NumberOfMessagesDeleted": 1,
		"deliver EventAge": 1, "deliver EventsDelivered": 0, "deliver CanaryDelivered": 1, "deliver DeadLetterErrors": 0,
		"deliver ConcurrentExecutions": 1,
		"deliver Errors":               0, "deliver Throttles": 0, "ingest Throttles": 0, "canary CanaryAccepted": 1,
		"ingest EventsAccepted": 1, "ingest AcceptLatency": 20, "ingest DeadLetterErrors": 0,
		"endpoint Requests": 1, "endpoint ServerErrors": 0,
	}
}

// with returns the minute with changes; a missing value removes a metric.
func (m minute) with(changes minute) minute {
	changed := maps.Clone(m)
	for name, v := range changes {
		if math.IsNaN(v) {
			delete(changed, name)
		} else {
			changed[name] = v
		}
	}
	return changed
}

// An alarm must fire for its own cause and for no other.
func TestAlarmsFireForTheirCauseAndForNothingElse(t *testing.T) {
	d := Default()
	busy := healthy().with(minute{
		"deliver EventsDelivered": 40_000, "deliver SegmentResponses delivered": 800, "events NumberOfMessagesSent": 4000,
		"events NumberOfMessagesDeleted":               4000,
		"events ApproximateNumberOfMessagesNotVisible": 300, "ingest EventsAccepted": 20_000,
		"publisher EventsPublished": 20_000, "endpoint Requests": 20_000,
		"publisher EventsDropped": 0, "publisher EventsSpilled": 0, "ingest Requests 429": 3,
	})
	// Only the circuit breaker's probes reach Segment, and not in every minute. The queue's age
	// stays low, because it leaves out messages that were received three times.
	outage := func(n int) minute {
		m := busy.with(minute{
			"deliver EventsDelivered": 0, "deliver SegmentResponses delivered": missing, "deliver EventAge": float64(60 * n),
			"deliver EventsRetried transient":              40_000,
			"events ApproximateNumberOfMessagesNotVisible": float64(4000 * min(n, 20)), "events NumberOfMessagesDeleted": 0,
			"events ApproximateAgeOfOldestMessage": 540,
		})
		if n%2 == 0 {
			m["deliver SegmentResponses transient"] = 1
		}
		return m
	}
	constant := func(m minute) func(int) minute { return func(int) minute { return m } }
	for _, c := range []struct {
		name    string
		minutes int
		at      func(n int) minute // from 1
		want    string
	}{
		{"healthy, with little load", 60, constant(healthy()), ""},
		{"healthy, under load", 60, constant(busy), ""},
		{"healthy, and a canary is in flight whenever SQS counts", 60,
			constant(healthy().with(minute{"events ApproximateNumberOfMessagesNotVisible": 1})), ""},
		{"no event ever came, and most metrics never existed", 60,
			constant(minute{"canary CanaryAccepted": 1, "deliver CanaryDelivered": 1}), ""},
		{"Segment fails for one minute", 60, func(n int) minute {
			if n == 55 {
				return busy.with(minute{"deliver SegmentResponses transient": 700, "deliver SegmentResponses delivered": 100,
					"deliver EventsRetried transient": 30_000})
			}
			return busy
		}, ""},
		{"Segment is down for 12 minutes", 12, outage,
			"backlog-age-warning backlog-growing delivery-down delivery-stalled segment-failing"},
		{"Segment is down for two hours", 120, outage,
			"backlog-age-critical backlog-age-warning backlog-growing delivery-down delivery-stalled segment-failing"},
		{"Segment is back, and everything is delivered", 180, func(n int) minute {
			if n <= 120 {
				return outage(n)
			}
			return busy
		}, ""},
		{"deliver can't start", 15, constant(busy.with(minute{
			"deliver EventsDelivered": missing, "deliver EventAge": missing, "deliver CanaryDelivered": missing,
			"deliver SegmentResponses delivered": missing,
			"deliver DeadLetterErrors":           missing, "deliver Errors": 10, "events NumberOfMessagesDeleted": 0,
			"events ApproximateNumberOfMessagesVisible": 30_000,
		})), "backlog-growing canary-silent deliver-errors delivery-down delivery-stalled"},
		{"deliver can't start, and only canaries come in", 15, func(n int) minute {
			return minute{"canary CanaryAccepted": 1, "deliver Errors": 1, "events ApproximateNumberOfMessagesVisible": 0,
				"events ApproximateNumberOfMessagesNotVisible": float64(n)}
		}, "canary-silent deliver-errors delivery-down delivery-stalled"},
		{"one write key is wrong, and tried every quarter of an hour", 64, func(n int) minute {
			if n%16 == 0 {
				return busy.with(minute{"deliver EventsRetried misconfigured": 1, "deliver EventAge": 300})
			}
			return busy
		}, "wrong-credentials"},
		{"one old event, tried every quarter of an hour", 64, func(n int) minute {
			if n%16 == 1 {
				return busy.with(minute{"deliver EventAge": 4000})
			}
			return busy
		}, "backlog-age-critical backlog-age-warning"},
		{"ingest fails every request", 10, constant(busy.with(minute{
			"canary CanaryAccepted": 0, "deliver CanaryDelivered": missing, "endpoint ServerErrors": 20_000,
			"ingest EventsAccepted": missing, "ingest AcceptLatency": missing,
		})), "ingest-down ingest-errors ingest-silent"},
		{"there is no monitoring data at all", 10, constant(minute{}), "ingest-down ingest-silent"},
		{"SQS can't be reached", 10,
			constant(busy.with(minute{"ingest Requests 429": 20_000, "canary CanaryAccepted": 0,
				"deliver CanaryDelivered": missing, "publisher EventsSpilled": 20_000})),
			"ingest-down ingest-refusing ingest-silent publisher-spilling"},
		{"one source is over its quota", 10, constant(busy.with(minute{"ingest Requests 429": 500})), ""},
		{"a dead letter of a minute ago, not yet in the metrics of SQS", 10, func(n int) minute {
			if n == 9 {
				return busy.with(minute{"deliver EventsDeadLettered too_large": 1})
			}
			return busy
		}, "dead-letters"},
		{"a dead letter for a week", 7*24*60 + 1,
			constant(healthy().with(minute{"dead-letters ApproximateNumberOfMessagesVisible": 1,
				"dead-letters ApproximateNumberOfMessagesNotVisible": 0})),
			"dead-letters dead-letters-old"},
		{"a dead letter each day, and redriven each day", 8 * 24 * 60, func(n int) minute {
			return healthy().with(minute{"dead-letters ApproximateNumberOfMessagesVisible": float64(n / 720 % 2),
				"dead-letters ApproximateNumberOfMessagesNotVisible": 0})
		}, "dead-letters"},
		{"dead letters can't be written", 10, constant(busy.with(minute{"deliver DeadLetterErrors": 2})),
			"dead-letters-unwritten"},
		{"a flood: Segment takes 1,000 events/s of 3,000", 15, func(n int) minute {
			return busy.with(minute{
				"ingest EventsAccepted": 180_000, "deliver EventsDelivered": 60_000, "deliver EventsRetried throttled": 10_000,
				"deliver SegmentResponses throttled": 200,
				"events NumberOfMessagesSent":        18_000, "events NumberOfMessagesDeleted": 6000,
				"events ApproximateNumberOfMessagesNotVisible": float64(5000 * n),
				"deliver ConcurrentExecutions":                 10, "deliver EventAge": float64(60 * min(n, 9)),
			})
		}, "backlog-growing deliver-saturated segment-throttling sudden-volume"},
		{"a backlog that drains in ten minutes", 9, func(n int) minute {
			return busy.with(minute{
				"events ApproximateNumberOfMessagesVisible": float64(100_000 - 10_000*n), "events NumberOfMessagesSent": 100,
				"events NumberOfMessagesDeleted": 10_100,
				"deliver ConcurrentExecutions":   10, "deliver EventAge": 500,
			})
		}, ""},
		{"110,000 messages wait for their next attempt", 6,
			constant(busy.with(minute{"events ApproximateNumberOfMessagesNotVisible": 110_000})), "in-flight"},
		{"Lambda throttles", 6, constant(busy.with(minute{"deliver Throttles": 5, "ingest Throttles": 5,
			"endpoint ServerErrors": 5})),
			"deliver-throttled ingest-down ingest-errors ingest-throttled"},
		{"ingest is slow", 10, constant(busy.with(minute{"ingest AcceptLatency": 3000})), "ingest-slow"},
		{"no set of write keys can be read", 10, constant(busy.with(minute{
			"ingest WriteKeysUnread": 1, "ingest Requests 429": 20_000, "canary CanaryAccepted": 0,
			"deliver CanaryDelivered": missing, "ingest EventsAccepted": missing,
		})), "ingest-down ingest-refusing ingest-silent write-keys-unread"},
		{"a typing error in the newest set of write keys", 10, constant(busy.with(minute{"ingest WriteKeysOld": 1})),
			"write-keys-old"},
		{"single readings of the write keys fail", 60, func(n int) minute {
			if n%4 == 0 {
				return busy.with(minute{"ingest WriteKeysOld": 1, "ingest WriteKeysUnread": 1})
			}
			return busy
		}, ""},
		{"one gzip body is carried as text", 10, func(n int) minute {
			if n == 3 {
				return busy.with(minute{"ingest GzipMangled": 1, "ingest Requests 429": 1})
			}
			return busy
		}, "gzip-mangled"},
		{"a publisher drops one event", 10, func(n int) minute {
			if n == 8 {
				return busy.with(minute{"publisher EventsDropped": 1})
			}
			return busy
		}, "publisher-drops"},
	} {
		t.Run(c.name, func(t *testing.T) {
			minutes := make([]minute, c.minutes)
			for i := range minutes {
				minutes[i] = c.at(i + 1)
			}
			if got := strings.Join(firing(t, d, minutes), " "); got != c.want {
				t.Errorf("after %d minutes these alarms fire:\n%s\nwant\n%s", c.minutes, got, c.want)
			}
		})
	}
}

func TestAlarmsWatchEveryMetricOfTheScenarios(t *testing.T) {
	watched := map[string]bool{}
	d := Default()
	for _, a := range d.Alarms {
		for _, m := range a.Metrics {
			watched[key(m)] = true
		}
	}
	for name := range healthy() {
		if !watched[name] {
			t.Errorf("no alarm watches %q; they watch %v", name, fmt.Sprint(slices.Sorted(maps.Keys(watched))))
		}
	}
}
