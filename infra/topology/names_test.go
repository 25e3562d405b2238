package topology

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestAnEventsQueueNamesItsPipeline(t *testing.T) {
	for queue, want := range map[string]string{
		"spillway-events": "spillway", "my-events-events": "my-events", "spillway": "", "-events": "", "Shop-events": "",
		"spillway-dead-letters": "", "a-name-that-is-far-too-long-events": "",
	} {
		names, ok := NamesOfEventsQueue(queue)
		if names.Pipeline != want || ok != (want != "") || ok && names.EventsQueue != queue {
			t.Errorf("the queue %q belongs to %q, %v; want %q", queue, names.Pipeline, ok, want)
		}
	}
}

func TestABulkQueueBelongsToThePipelineOfItsName(t *testing.T) {
	for queue, want := range map[string]string{
		"spillway-bulk": "spillway", "my-bulk-bulk": "my-bulk", "spillway-events": "", "-bulk": "", "bulk": "",
	} {
		names, ok := NamesOfBulkQueue(queue)
		if names.Pipeline != want || ok != (want != "") || ok && names.BulkQueue != queue {
			t.Errorf("the queue %q belongs to %q, %v; want %q", queue, names.Pipeline, ok, want)
		}
	}
}

func TestADeadLetterQueueBelongsToThePipelineOfItsName(t *testing.T) {
	for queue, want := range map[string]string{
		"spillway-dead-letters": "spillway", "a-events-dead-letters": "a-events", "spillway-events": "", "dead-letters": "",
		"-dead-letters": "", "Shop-dead-letters": "", "a-name-that-is-far-too-long-dead-letters": "",
	} {
		names, ok := NamesOfDeadLetterQueue(queue)
		if names.Pipeline != want || ok != (want != "") || ok && names.DeadLetterQueue != queue {
			t.Errorf("the queue %q belongs to %q, %v; want %q", queue, names.Pipeline, ok, want)
		}
	}
}

func TestNewNamesRefusesNamesThatAWSWouldRefuse(t *testing.T) {
	const characters = "the pipeline's name must begin with a lower-case letter and have only lower-case " +
		"letters, digits " +
		"and hyphens"
	for name, want := range map[string]string{
		"spillway": "", "a": "", "staging-2": "", "abcdefghijklmnopqrst": "",
		"": characters, "Staging": characters, "2nd": characters, "-a": characters, "my_pipeline": characters,
		"a.b": characters,
		"a b": characters,
		"é":   characters, "a\n": characters,
		"abcdefghijklmnopqrstu": `must have at most 20 characters, "abcdefghijklmnopqrstu" has 21`,
		"aws-events":            "must not begin with aws or ssm", "ssm": "must not begin with aws or ssm",
	} {
		_, err := NewNames(name)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
	}
}

func TestTheDefaultPipelineKeepsItsNames(t *testing.T) {
	want := Names{
		Pipeline: "spillway", EventsQueue: "spillway-events", BulkQueue: "spillway-bulk",
		DeadLetterQueue: "spillway-dead-letters", ArchiveStream: "spillway-archive",
		DeliverFunction: "spillway-deliver", IngestFunction: "spillway-ingest", CanaryFunction: "spillway-canary",
		StatusFunction: "spillway-status", RolloutFunction: "spillway-rollout",
		AlarmTopic: "spillway-alarms", TicketTopic: "spillway-tickets",
	}
	if got := DefaultNames(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// named are all names of queues, functions and alarms in the topology.
func named(d *Topology) map[string][]string {
	names := map[string][]string{}
	for _, q := range d.Queues {
		names["queue"] = append(names["queue"], q.Name)
	}
	for _, f := range d.Functions {
		names["function"] = append(names["function"], f.Name)
	}
	for _, a := range d.Alarms {
		names["alarm"] = append(names["alarm"], a.Name)
	}
	for _, c := range d.Composites {
		names["alarm"] = append(names["alarm"], c.Name)
	}
	return names
}

func TestEveryNameBeginsWithTheNameOfThePipeline(t *testing.T) {
	names, err := NewNames("staging")
	if err != nil {
		t.Fatal(err)
	}
	o := DefaultOptions()
	o.Names = names
	staging, standard := New(o), Default()
	if err := staging.Validate(); err != nil {
		t.Error(err)
	}
	for kind, all := range named(&staging) {
		for i, name := range all {
			if want := "staging" + strings.TrimPrefix(named(&standard)[kind][i], "spillway"); name != want {
				t.Errorf("the %s %s, want %s", kind, name, want)
			}
		}
	}
	for _, a := range staging.Alarms {
		for _, m := range a.Metrics {
			if m.Own != "" && m.Pipeline != "staging" {
				t.Errorf("%s watches %s of the pipeline %q", a.Name, m.Name, m.Pipeline)
			}
		}
	}
	for field, value := range fields(names) {
		if value != "staging" && !strings.HasPrefix(value, "staging-") {
			t.Errorf("%s is %s", field, value)
		}
	}
}

func fields(n Names) map[string]string {
	values := map[string]string{}
	for field, value := range reflect.ValueOf(n).Fields() {
		values[field.Name] = value.String()
	}
	return values
}

// If there were alarms "errors" and "ingest-errors", the pipeline "a" and the pipeline "a-ingest"
// would share the name a-ingest-errors.
func TestPipelinesWithSimilarNamesShareNoName(t *testing.T) {
	d := Default()
	for kind, all := range named(&d) {
		for _, name := range all {
			if i := slices.IndexFunc(all, func(other string) bool {
				return strings.HasSuffix(other, strings.TrimPrefix(name, d.Names.Pipeline)) && other != name
			}); i >= 0 {
				t.Errorf("the %s %s ends like %s without its prefix", kind, all[i], name)
			}
		}
	}
}
