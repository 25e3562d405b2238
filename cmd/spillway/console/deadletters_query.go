package console

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/dlq"
)

const (
	// deadRows is how many dead letters a page lists.
	deadRows = 50
	// maxValues bounds the values of a field in an address.
	maxValues = 20
)

// The fields of an address that select dead letters.
var deadFields = []struct {
	name string
	of   func(*dlq.Selection) *[]string
}{
	{"reason", func(s *dlq.Selection) *[]string { return &s.Reasons }},
	{"key", func(s *dlq.Selection) *[]string { return &s.WriteKeys }},
	{"event", func(s *dlq.Selection) *[]string { return &s.Events }},
	{"user", func(s *dlq.Selection) *[]string { return &s.Users }},
	{"id", func(s *dlq.Selection) *[]string { return &s.IDs }},
}

var deadAges = []struct {
	name, label string
	of          func(*dlq.Selection) *time.Duration
}{
	{"older", "older than", func(s *dlq.Selection) *time.Duration { return &s.OlderThan }},
	{"newer", "newer than", func(s *dlq.Selection) *time.Duration { return &s.NewerThan }},
}

// parseDeadQuery reads what an address or a form selects. Empty fields select all. After an error
// the query has what could be read.
func parseDeadQuery(values url.Values) (q DeadLetterQuery, err error) {
	q.Limit = deadRows
	note := func(e error) {
		if err == nil {
			err = e
		}
	}
	for _, f := range deadFields {
		into := f.of(&q.Selection)
		for _, v := range values[f.name] {
			if f.name != "reason" { // people type the others
				v = strings.TrimSpace(v)
			}
			if v != "" && !slices.Contains(*into, v) {
				*into = append(*into, v)
			}
		}
		if len(*into) > maxValues {
			*into = (*into)[:maxValues]
			note(fmt.Errorf("%s has more than %d values: select less at once", f.name, maxValues))
		}
	}
	for _, f := range deadAges {
		text := strings.TrimSpace(values.Get(f.name))
		if text == "" {
			continue
		}
		d, parseErr := time.ParseDuration(text)
		if parseErr != nil {
			note(fmt.Errorf("%s must be a duration like 90m or 2h, is %q", f.label, short(text)))
			continue
		}
		*f.of(&q.Selection) = d
	}
	if text := values.Get("before"); text != "" {
		var parseErr error
		if q.Before, parseErr = strconv.ParseUint(text, 36, 64); parseErr != nil {
			note(fmt.Errorf("the address names no page: go to the first one"))
		}
	}
	if err == nil {
		_, err = q.Filter(func(string) string { return "" })
	}
	return q, err
}

// deadValues is the address of a selection.
func deadValues(s dlq.Selection) url.Values {
	values := url.Values{}
	for _, f := range deadFields {
		if v := *f.of(&s); len(v) > 0 {
			values[f.name] = v
		}
	}
	for _, f := range deadAges {
		if d := *f.of(&s); d != 0 {
			values.Set(f.name, shortDuration(d))
		}
	}
	return values
}

// shortDuration writes 2h and not 2h0m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// withQuery is an address of this page.
func withQuery(path string, values url.Values) string {
	if len(values) == 0 {
		return path
	}
	return path + "?" + values.Encode()
}

// inWords says what is selected: "with the reason rejected and the write key shop"; empty: all.
func inWords(s dlq.Selection) string {
	var parts []string
	for _, f := range []struct {
		what   string
		values []string
	}{{"the reason", s.Reasons}, {"the write key", s.WriteKeys}, {"the event", s.Events}, {"the user", s.Users},
		{"the ID", s.IDs}} {
		if len(f.values) > 0 {
			shown := make([]string, len(f.values))
			for i, v := range f.values {
				shown[i] = short(v)
			}
			parts = append(parts, f.what+" "+strings.Join(shown, " or "))
		}
	}
	text := ""
	if len(parts) > 0 {
		text = "with " + strings.Join(parts, " and ")
	}
	for _, f := range deadAges {
		if d := *f.of(&s); d != 0 {
			text = strings.TrimSpace(text + ", " + f.label + " " + shortDuration(d))
		}
	}
	return strings.TrimPrefix(text, ", ")
}
