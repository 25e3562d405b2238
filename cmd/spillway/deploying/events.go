package deploying

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
)

// An Event is what has happened to a resource of a stack, or to the stack itself, in CloudFormation's
// words.
type Event struct {
	ID         string    `xml:"EventId"`
	StackID    string    `xml:"StackId"`
	Time       time.Time `xml:"Timestamp"`
	LogicalID  string    `xml:"LogicalResourceId"`
	PhysicalID string    `xml:"PhysicalResourceId"`
	Type       string    `xml:"ResourceType"`
	Status     string    `xml:"ResourceStatus"`
	Reason     string    `xml:"ResourceStatusReason"`
}

// ofStack reports whether an event is of the stack itself.
func (e *Event) ofStack() bool {
	return e.Type == "AWS::CloudFormation::Stack" && (e.PhysicalID == e.StackID || e.PhysicalID == "")
}

// begins reports whether an event is the first of a deployment, or of a deletion: to undo one belongs
// to it.
func (e *Event) begins() bool {
	return e.ofStack() && slices.Contains([]string{"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS",
		"REVIEW_IN_PROGRESS", "IMPORT_IN_PROGRESS"}, e.Status)
}

// words are what a status is called in a line. What is only begun has none: the line that is redrawn
// counts it.
var words = map[string]string{
	"CREATE_COMPLETE": "created", "UPDATE_COMPLETE": "changed", "DELETE_COMPLETE": "deleted",
	"DELETE_SKIPPED": "retained", "IMPORT_COMPLETE": "imported",
	"CREATE_FAILED": "FAILED to create", "UPDATE_FAILED": "FAILED to change", "DELETE_FAILED": "FAILED to delete",
	"IMPORT_FAILED":     "FAILED to import",
	"ROLLBACK_COMPLETE": "undone", "UPDATE_ROLLBACK_COMPLETE": "undone",
}

// line is what is shown of an event; empty: nothing.
func (e *Event) line() string {
	if e.ofStack() {
		switch e.Status {
		case "ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS":
			return e.stamped("CloudFormation undoes the deployment: " + e.Reason)
		case "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS":
			return e.stamped("deleting what is no longer used")
		}
		return ""
	}
	word := words[e.Status]
	if word == "" {
		return ""
	}
	name := e.LogicalID
	if e.PhysicalID != "" {
		name = e.PhysicalID[strings.LastIndexAny(e.PhysicalID, "/:")+1:]
	}
	text := fmt.Sprintf("%-16s  %-34s %s", word, e.Type, name)
	if e.failed() && e.Reason != "" {
		text += ": " + e.Reason
	}
	return e.stamped(text)
}

func (e *Event) stamped(text string) string {
	safe := strings.TrimRight(terminal.Safe(strings.ReplaceAll(text, "\n", " ")), " ")
	return "  " + e.Time.UTC().Format(time.TimeOnly) + "  " + safe
}

func (e *Event) failed() bool { return strings.HasSuffix(e.Status, "_FAILED") }

// cancelled reports whether a resource failed only because another one had failed.
func (e *Event) cancelled() bool {
	return strings.Contains(e.Reason, "ancelled") && strings.HasPrefix(e.Reason, "Resource ")
}

// cause is the first failure of the events of one deployment, the oldest first; nil: none.
func cause(events []Event) *Event {
	for i := range events {
		if e := &events[i]; e.failed() && !e.ofStack() && !e.cancelled() {
			return e
		}
	}
	return nil
}

// left are the resources that a deployment which was undone has left behind, a text each: those that
// CloudFormation could not delete, and those that it retained.
func left(events []Event) (names []string) {
	last := map[string]*Event{}
	for i := range events {
		if e := &events[i]; !e.ofStack() {
			last[e.LogicalID] = e
		}
	}
	for id, e := range last {
		if e.Status == "DELETE_FAILED" || e.Status == "DELETE_SKIPPED" {
			name := id
			if e.PhysicalID != "" {
				name = e.PhysicalID
			}
			names = append(names, e.Type+" "+name)
		}
	}
	slices.Sort(names)
	return names
}

// A tally counts the resources of a deployment under way.
type tally struct{ status map[string]*Event }

func (t *tally) add(e Event) {
	if t.status == nil {
		t.status = map[string]*Event{}
	}
	if !e.ofStack() {
		t.status[e.LogicalID] = &e
	}
}

// text says how far it is: "31 resources done, waiting for 2: DeliverAlias, IngestAlias".
func (t *tally) text(took time.Duration) string {
	var done int
	var waiting []string
	for id, e := range t.status {
		if strings.HasSuffix(e.Status, "_IN_PROGRESS") {
			waiting = append(waiting, id)
		} else {
			done++
		}
	}
	slices.Sort(waiting)
	text := fmt.Sprintf("%s, %s done", terminal.Age(took), terminal.Plural(done, "resource"))
	if len(waiting) > 0 {
		text += fmt.Sprintf(", %d under way: %s", len(waiting), strings.Join(waiting, ", "))
	}
	return text
}
