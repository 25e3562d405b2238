package ingest

import (
	"strings"
	"testing"

	"github.com/spillwayhq/spillway/shared/event"
)

func TestARequestWithoutAValidEventIsRefusedAndNotStored(t *testing.T) {
	for name, c := range map[string]struct{ path, body, code string }{
		"single":                   {"/v1/track", `{"userId":"u"}`, "event_not_defined"},
		"no id":                    {"/v1/track", `{"event":"e"}`, "no_user_anon_id"},
		"ids null":                 {"/v1/t", `{"event":"e","userId":null,"anonymousId":null}`, "no_user_anon_id"},
		"event not a string":       {"/v1/track", `{"userId":"u","event":1}`, "event_not_string"},
		"properties not an object": {"/v1/page", `{"userId":"u","properties":[]}`, "properties_not_object"},
		"traits not an object":     {"/v1/identify", `{"userId":"u","traits":"x"}`, "traits_not_object"},
		"name not a string":        {"/v1/page", `{"userId":"u","name":1}`, "name_not_string"},
		"category not a string":    {"/v1/screen", `{"userId":"u","category":{}}`, "category_not_string"},
		"group without id":         {"/v1/group", `{"userId":"u"}`, "id_required"},
		"id not a string":          {"/v1/alias", `{"userId":{},"previousId":"p"}`, "id_not_string"},
		"long messageId": {"/v1/track", `{"userId":"u","event":"e","messageId":"` + strings.Repeat("m", 100) + `"}`,
			"message_id_too_long"},
		"too large": {"/v1/track",
			`{"userId":"u","event":"e","x":"` + strings.Repeat("x", event.MaxEventBytes) + `"}`, "too_large"},
		"deep": {"/v1/track",
			`{"userId":"u","event":"e","x":` + strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000) + `}`,
			"too_deep"},
		"not UTF-8":             {"/v1/track", `{"userId":"u","event":"` + "\xc3\x28" + `"}`, "not_utf8"},
		"only invalid events":   {"/v1/batch", `{"batch":[{"type":"foo"},7]}`, "type_unknown"},
		"too many events":       {"/v1/batch", `{"batch":[` + strings.Repeat("0,", maxEvents) + `0]}`, "too_many_events"},
		"empty batch":           {"/v1/batch", `{"batch":[]}`, "empty_batch"},
		"the last batch counts": {"/v1/batch", `{"batch":[` + track("1") + `],"batch":[]}`, "empty_batch"},
		"batch is null":         {"/v1/batch", `{"batch":null}`, "invalid_batch"},
		"batch is an object":    {"/v1/b", `{"batch":{}}`, "invalid_batch"},
		"no batch":              {"/v1/import", track("1"), "invalid_batch"},
		"an array":              {"/v1/batch", `[` + track("1") + `]`, "invalid_batch"},
		"an array at an event":  {"/v1/track", `[` + track("1") + `]`, "invalid_body"},
		"a string":              {"/v1/track", `"x"`, "invalid_body"},
		"not JSON":              {"/v1/track", `{"userId":`, "invalid_json"},
		"unclosed object":       {"/v1/batch", `{"batch":[` + track("1") + `]`, "invalid_json"},
		"data after JSON":       {"/v1/batch", `{"batch":[` + track("1") + `]}}`, "invalid_json"},
		"a form":                {"/v1/track", `userId=u&event=e`, "invalid_json"},
		"100,000 deep":          {"/v1/batch", strings.Repeat("[", 100_000), "invalid_json"},
		"100,000 deep, closed":  {"/v1/batch", strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000), "invalid_batch"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			status, code := r.post(c.path, c.body)
			if status != 400 || code != c.code {
				t.Errorf("%d %s, want 400 %s", status, code, c.code)
			}
			want(t, "calls", r.queue.calls+r.deadLetters.calls, 0)
			want(t, "refused", r.counters.Totals().Refused, map[string]int{c.code: 1})
		})
	}
}
