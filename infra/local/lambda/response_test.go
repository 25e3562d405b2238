package lambda

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
)

func TestPartialBatchResponsesFollowLambdasRules(t *testing.T) {
	nilSlice, err := json.Marshal(events.SQSEventResponse{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, response string
		failed         string // joined by a comma
		all            bool
	}{
		{"an empty list is success", `{"batchItemFailures":[]}`, "", false},
		{"a null list is success", `{"batchItemFailures":null}`, "", false},
		{"Go's nil slice is success", string(nilSlice), "", false},
		{"an empty object is success", `{}`, "", false},
		{"null is success", `null`, "", false},
		{"an empty response is success", ``, "", false},
		{"white space is an empty response", " \r\n\t", "", false},
		{"white space around an object is none of it", " \n{} \t\r", "", false},
		{"a form feed is no white space in JSON", "\f{}", "", true},
		{"nor is a vertical tab", "{}\v", "", true},
		{"nor a no-break space", "\u00a0{}", "", true},
		{"nor a byte order mark", "\ufeff{}", "", true},
		{"nor are they an empty response", "\f", "", true},
		{"an object about something else is success", `{"statusCode":200}`, "", false},
		{"one message has failed", `{"batchItemFailures":[{"itemIdentifier":"b"}]}`, "b", false},
		{"all messages have failed by name",
			`{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"b"},{"itemIdentifier":"c"}]}`, "a,b,c", false},
		{"a message named twice has failed once", `{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"a"}]}`,
			"a", false},
		{"more keys beside the identifier do no harm", `{"x":1,"batchItemFailures":[{"itemIdentifier":"a","reason":"r"}]}`,
			"a", false},
		{"an escaped identifier is the same", `{"batchItemFailures":[{"itemIdentifier":"\u0061"}]}`, "a", false},
		{"invalid JSON fails all", `{"batchItemFailures":[`, "", true},
		{"text after the JSON fails all", `{} x`, "", true},
		{"an empty identifier fails all", `{"batchItemFailures":[{"itemIdentifier":""}]}`, "", true},
		{"a null identifier fails all", `{"batchItemFailures":[{"itemIdentifier":null}]}`, "", true},
		{"a numeric identifier fails all", `{"batchItemFailures":[{"itemIdentifier":1}]}`, "", true},
		{"an unknown identifier fails all", `{"batchItemFailures":[{"itemIdentifier":"z"}]}`, "", true},
		{"an unknown identifier beside a known one fails all",
			`{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"z"}]}`, "", true},
		{"a wrong key fails all", `{"batchItemFailures":[{"itemId":"a"}]}`, "", true},
		{"a key in another case is a wrong key", `{"batchItemFailures":[{"ItemIdentifier":"a"}]}`, "", true},
		{"an empty item fails all", `{"batchItemFailures":[{}]}`, "", true},
		{"a null item fails all", `{"batchItemFailures":[null]}`, "", true},
		{"a bare identifier fails all", `{"batchItemFailures":["a"]}`, "", true},
		{"no list fails all", `{"batchItemFailures":"a"}`, "", true},
		{"a string fails all", `"ok"`, "", true},
		{"a list fails all", `[]`, "", true},
		{"a number fails all", `1`, "", true},
		{"a boolean fails all", `true`, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			failed, all := failedMessages([]byte(c.response), []string{"a", "b", "c"})
			got := strings.Join(slices.Sorted(maps.Keys(failed)), ",")
			if got != c.failed || all != c.all {
				t.Errorf("failed %q, all %v; want %q, %v", got, all, c.failed, c.all)
			}
		})
	}
}

func TestAMessageWithoutAnIDCanNotBeNamedAsFailed(t *testing.T) {
	if _, all := failedMessages([]byte(`{"batchItemFailures":[{"itemIdentifier":""}]}`), []string{""}); !all {
		t.Error("an empty itemIdentifier was taken for a message")
	}
}

// Whatever a function answers, only messages of the batch fail, and invalid JSON never passes
// for success.
func FuzzFailedMessages(f *testing.F) {
	for _, seed := range []string{``, `{}`, `null`, `{"batchItemFailures":[{"itemIdentifier":"a"}]}`,
		`{"batchItemFailures":[{"itemIdentifier":""}]}`, `[[`, "\f{}", `{"batchItemFailures":{"a":1}}`} {
		f.Add([]byte(seed), "a", "b")
	}
	f.Fuzz(func(t *testing.T, response []byte, one, two string) {
		ids := []string{one, two}
		failed, all := failedMessages(response, ids)
		if all && failed != nil {
			t.Error("all have failed, and some besides")
		}
		for id := range failed {
			if id == "" || !slices.Contains(ids, id) {
				t.Errorf("%q has failed, which is not a message of the batch", id)
			}
		}
		if len(bytes.Trim(response, " \t\r\n")) > 0 && !json.Valid(response) && !all {
			t.Error("invalid JSON counts as success")
		}
		var typed struct {
			BatchItemFailures []struct {
				ItemIdentifier *string `json:"itemIdentifier"`
			} `json:"batchItemFailures"`
		}
		if !all && json.Unmarshal(response, &typed) == nil && len(failed) > len(typed.BatchItemFailures) {
			t.Error("more have failed than were named")
		}
	})
}
