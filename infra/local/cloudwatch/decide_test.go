package cloudwatch

import (
	"math"
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/infra/topology"
)

// parseValues reads the notation of AWS's tables: 0 is within the threshold, X breaches it, - is
// missing.
func parseValues(t *testing.T, text string) []float64 {
	t.Helper()
	var values []float64
	for field := range strings.FieldsSeq(text) {
		v, ok := map[string]float64{"0": 0, "X": 1, "-": math.NaN()}[field]
		if !ok {
			t.Fatalf("%q is none of 0, X and -", field)
		}
		values = append(values, v)
	}
	return values
}

// All cells of both tables of the CloudWatch user guide, "Configuring how CloudWatch alarms treat
// missing data"
// (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html; the
// text of both is in awsdocs/amazon-cloudwatch-user-guide, doc_source/AlarmThatSendsEmail.md). The
// evaluation range is 5.
func TestStatesAreThoseOfAWSsTablesOfMissingData(t *testing.T) {
	const retained = State("retain current state")
	modes := [...]topology.Missing{topology.MissingIsUnknown, topology.MissingIsSilent, topology.MissingIsBad,
		topology.MissingIsGood}
	for _, table := range []struct {
		m, n int
		rows map[string][4]State // by MISSING, IGNORE, BREACHING, NOT BREACHING
	}{
		{3, 3, map[string][4]State{
			"0 - X - X": {OK, OK, OK, OK},
			"0 - - - -": {OK, OK, OK, OK},
			"- - - - -": {InsufficientData, retained, Alarm, OK},
			"0 X X - X": {Alarm, Alarm, Alarm, Alarm},
			"- - X - -": {Alarm, retained, Alarm, OK},
		}},
		{2, 3, map[string][4]State{
			"0 - X - X": {Alarm, Alarm, Alarm, Alarm},
			"0 0 X 0 X": {Alarm, Alarm, Alarm, Alarm},
			"0 - X - -": {OK, OK, Alarm, OK},
			"- - - - 0": {OK, OK, Alarm, OK},
			"- - - X -": {Alarm, retained, Alarm, OK},
		}},
	} {
		for row, states := range table.rows {
			for i, mode := range modes {
				r := rule{n: table.n, m: table.m, missing: mode}
				for _, now := range [...]State{OK, Alarm, InsufficientData} {
					want := states[i]
					if want == retained {
						want = now
					}
					if got := r.decide(parseValues(t, row), now); got != want {
						t.Errorf("%d of %d, %s, missing data are %s, in state %s: %s, want %s", table.m, table.n, row, mode, now,
							got, want)
					}
				}
			}
		}
	}
}

// What the text beside the tables says.
func TestOneBreachingValueIsNoAlarmWhileTheNextMayBeGood(t *testing.T) {
	for _, c := range []struct {
		values string
		want   State
	}{
		{"- - - - X", InsufficientData},
		{"- - - X -", InsufficientData},
		{"- - X - -", Alarm},
		{"- - - X 0", OK},
		{"- - X - 0", OK},
	} {
		r := rule{n: 3, m: 3, missing: topology.MissingIsUnknown}
		if got := r.decide(parseValues(t, c.values), OK); got != c.want {
			t.Errorf("3 of 3, %s: %s, want %s", c.values, got, c.want)
		}
	}
}

func TestTheGoodValueThatLeavesTheRangeMakesMissingDataBreach(t *testing.T) {
	r := rule{n: 3, m: 3, missing: topology.MissingIsBad}
	if got := r.decide(parseValues(t, "0 - - - -"), OK); got != OK {
		t.Errorf("with a good value in the range the state is %s", got)
	}
	if got := r.decide(parseValues(t, "- - - - -"), OK); got != Alarm {
		t.Errorf("a minute later the state is %s", got)
	}
}

func TestAnAlarmIsOnItsWayByTheValuesThatWillStillCount(t *testing.T) {
	for _, c := range []struct {
		n, m   int
		values string
		want   int
	}{
		{3, 3, "- - - - -", 0},
		{3, 3, "0 0 0 0 X", 1},
		{3, 3, "0 0 0 X X", 2},
		{3, 3, "0 X X X X", 3},
		{3, 3, "0 0 X 0 X", 1}, // the first one leaves before three follow one another
		{3, 3, "0 X X - -", 2},
		{3, 3, "X X 0", 0},
		{5, 3, "X 0 0 0 X", 1},
		{5, 3, "0 X 0 0 X", 2},
		{5, 3, "X X 0 0 X", 3},
		{1, 1, "0 X", 1},
	} {
		r := rule{n: c.n, m: c.m}
		if got := r.coming(parseValues(t, c.values)); got != c.want {
			t.Errorf("%d of %d, %s: %d are there, want %d", c.m, c.n, c.values, got, c.want)
		}
	}
}
