package contents

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/console"
	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
)

func placeOfStory(s console.Story, name string) string {
	for _, p := range s.Looked {
		if p.Name == name {
			return p.Says + p.Failed
		}
	}
	return ""
}

func TestAnEventIsFoundWhereItIs(t *testing.T) {
	b := newBench(t)
	l := b.local(t)
	for i := range 20 {
		b.send(t, b.actions.EventsURL, message.Message{Body: fmt.Sprintf(`{"writeKey":"k","batch":[`+
			`{"type":"track","event":"Paid","userId":"u-%d","messageId":"waits-%d"},`+
			`{"type":"page","name":"Home","anonymousId":"anon","messageId":"page-%d"}]}`, i, i, i)})
	}
	b.send(t, b.actions.EventsURL, message.Message{Body: "no JSON"})
	b.sendDead(t, message.DeadLetter{ID: "dead/1", Reason: message.ReasonRejected, Detail: "400 <b>no</b>",
		FirstSeen: time.Now().Add(-time.Hour),
		LastSeen:  time.Now(), Receives: 3, Header: message.Header{WriteKey: "the-shop-key"},
		Events: [][]byte{[]byte(`{"type":"track","event":"Lost","userId":"u-3","messageId":"dead-1"}`),
			[]byte(`{"type":"track","event":"Other","userId":"x"}`)}})
	samples := []console.Sample{{At: time.Now().Add(-time.Minute), Outcome: console.OutcomeRetried, Reason: "transient",
		Answer:    "503",
		MessageID: "waits-3", User: "u-3", Age: time.Minute}, {MessageID: "other"}}

	story, err := l.Find(t.Context(), "waits-3", console.MaxStory, samples)
	if err != nil || len(story.Events) != 1 {
		t.Fatalf("%+v, %v", story, err)
	}
	e := story.Events[0]
	if e.IsIn != console.InQueue || e.Event != "Paid" || e.User != "u-3" || e.WriteKey != event.KeyID("k") ||
		len(e.Steps) != 2 || e.Outcome != console.OutcomeRetried {
		t.Errorf("%+v", e)
	}
	if says := placeOfStory(story, "Events queue"); !strings.HasPrefix(says,
		"all of 21 waiting messages; 1 of them can't be read") {
		t.Errorf("of the events queue it says %q", says)
	}
	if st := b.events.Stats(); st.InFlight != 0 || st.Received != 0 {
		t.Errorf("it has received: %+v", st)
	}

	story, _ = l.Find(t.Context(), "u-3", console.MaxStory, samples)
	where := map[string]string{}
	for _, e := range story.Events {
		where[e.MessageID] = e.IsIn
	}
	if len(where) != 2 || where["waits-3"] != console.InQueue || where["dead-1"] != console.InDeadQueue {
		t.Errorf("of the user: %v", where)
	}
	b.send(t, local.QueueURL(endpoint, topology.DefaultNames().BulkQueue), message.Message{
		Body: `{"type":"track","event":"Old","userId":"u","messageId":"redriven"}`})
	if story, _ = l.Find(t.Context(), "redriven", console.MaxStory, nil); len(story.Events) != 1 || story.Events[0].IsIn != console.InBulkQueue {
		t.Errorf("of what was redriven: %+v", story.Events)
	}
	story, _ = l.Find(t.Context(), "dead-1", console.MaxStory, nil)
	if e := story.Events[0]; e.Reason != message.ReasonRejected || e.Answer != "400 <b>no</b>" ||
		e.Steps[0].DeadLetterID != "dead/1" ||
		time.Since(e.Accepted).Round(time.Minute) != time.Hour || e.WriteKey != "shop web" {
		t.Errorf("%+v", e)
	}
	if story, _ = l.Find(t.Context(), "anon", console.MaxStory, nil); len(story.Events) != 20 || story.More != 0 {
		t.Errorf("%d events and %d more of the anonymous user", len(story.Events), story.More)
	}
	if story, _ = l.Find(t.Context(), "nobody", console.MaxStory, samples); len(story.Events) != 0 || len(story.Looked) != 6 ||
		!strings.Contains(placeOfStory(story, latestPlace), "the last 2 events") {
		t.Errorf("%+v", story)
	}
}

func TestAStoryOfAPipelineOnAWSSaysWhatItCantTell(t *testing.T) {
	b := newBench(t)
	d := NewDeployed(b.actions)
	defer d.Close()
	b.sendDead(t, message.DeadLetter{ID: "dead/1", Reason: message.ReasonRejected, FirstSeen: time.Now(),
		Events: [][]byte{[]byte(`{"type":"track","event":"Lost","userId":"u-3","messageId":"dead-1"}`)}})
	if s := d.Find("dead-1", console.MaxStory); len(s.Events) != 0 ||
		!strings.Contains(placeOfStory(s, deadPlace), "have not been read yet") ||
		!strings.Contains(placeOfStory(s, "Events and bulk queue"), "can't be searched") {
		t.Errorf("%+v", s)
	}
	d.Read()
	for d.Reading().Running {
		time.Sleep(10 * time.Millisecond)
	}
	s := d.Find("dead-1", console.MaxStory, console.Place{Name: "Log", Says: "nothing"})
	if len(s.Events) != 1 || len(s.Events[0].Steps) != 1 || s.Events[0].IsIn != console.InDeadQueue ||
		placeOfStory(s, "Log") != "nothing" {
		t.Errorf("%+v", s)
	}
	if s := d.Find("u-3", console.MaxStory); len(s.Events) != 1 || s.Events[0].User != "u-3" {
		t.Errorf("%+v", s)
	}
}
