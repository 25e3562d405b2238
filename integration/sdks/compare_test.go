package sdks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/local/segmentd"
)

// object is a JSON object whose numbers are json.Number, as written.
type object = map[string]any

func decode(t *testing.T, raw []byte) object {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var o object
	if err := d.Decode(&o); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	return o
}

// events returns the events of a request's body and the sentAt of their batch.
func events(t *testing.T, body []byte) (all []object, sentAt any) {
	t.Helper()
	o := decode(t, body)
	batch, ok := o["batch"].([]any)
	if !ok {
		return []object{o}, nil
	}
	for _, e := range batch {
		all = append(all, e.(object))
	}
	return all, o["sentAt"]
}

func id(e object) string { s, _ := e["messageId"].(string); return s }

// ids of the events of a request.
func ids(t *testing.T, r request) []string {
	t.Helper()
	all, _ := events(t, r.Body)
	names := make([]string, len(all))
	for i, e := range all {
		names[i] = id(e)
	}
	return names
}

// enriched is what the ingest API adds to an event besides messageId and timestamp.
type enriched struct{ kind, ip, userAgent string } // empty: nothing

// assertIntact compares an event as sent with the event as it arrived: only what the ingest API sets
// may differ.
func assertIntact(t *testing.T, r request, sent object, sentAt any, got segmentd.Received, add enriched) {
	t.Helper()
	want, have := clone(t, sent), decode(t, got.Raw)
	if own, ok := want["sentAt"]; ok && sentAt == nil {
		sentAt = own
	}
	assertTime(t, r, want, have, sentAt)
	for _, name := range []string{"timestamp", "sentAt", "writeKey"} {
		delete(want, name)
	}
	delete(have, "timestamp") // have must not have the other two
	if id(want) == "" {
		if id(have) == "" {
			t.Errorf("no messageId was given: %s", got.Raw)
		}
		want["messageId"] = have["messageId"]
	}
	if want["type"] == nil {
		want["type"] = add.kind
	}
	for name, value := range map[string]string{"ip": add.ip, "userAgent": add.userAgent} {
		if value == "" {
			continue
		}
		if want["context"] == nil {
			want["context"] = object{}
		}
		if c := want["context"].(object); c[name] == nil {
			c[name] = value
		}
	}
	for _, difference := range differences("", want, have) {
		t.Errorf("%s of %s: %s", want["type"], r.Path, difference)
	}
}

// assertTime checks that the ingest API corrected the client's clock: the event is as old as it was
// when the client sent it.
func assertTime(t *testing.T, r request, sent, have object, sentAt any) {
	t.Helper()
	arrived, err := moment(have["timestamp"])
	if err != nil {
		t.Errorf("it arrived without a timestamp: %v", err)
		return
	}
	// The request was read between At and Answered; times are written in milliseconds.
	from, to := r.At.Add(-time.Millisecond), r.Answered.Add(time.Millisecond)
	if sent["timestamp"] != nil {
		when, err := moment(sent["timestamp"])
		if err != nil {
			t.Fatal(err)
		}
		if sentAt == nil {
			from, to = when, when
		} else {
			left, err := moment(sentAt)
			if err != nil {
				t.Fatal(err)
			}
			age := left.Sub(when)
			from, to = from.Add(-age), to.Add(-age)
		}
	}
	if arrived.Before(from) || arrived.After(to) {
		t.Errorf("its time is %v, want one between %v and %v", arrived, from.UTC(), to.UTC())
	}
}

func moment(v any) (time.Time, error) {
	s, ok := v.(string)
	if !ok {
		return time.Time{}, fmt.Errorf("%v must be a time", v)
	}
	return time.Parse(time.RFC3339Nano, s)
}

func clone(t *testing.T, o object) object {
	t.Helper()
	raw, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, raw)
}

// differences lists where two values differ.
func differences(path string, want, have any) (all []string) {
	a, isObject := want.(object)
	b, isToo := have.(object)
	if !isObject || !isToo {
		if !reflect.DeepEqual(want, have) {
			all = append(all, fmt.Sprintf("%s is %v, want %v", strings.TrimPrefix(path, "."), have, want))
		}
		return all
	}
	for name := range a {
		if _, ok := b[name]; !ok {
			all = append(all, strings.TrimPrefix(path+"."+name, ".")+" is missing")
			continue
		}
		all = append(all, differences(path+"."+name, a[name], b[name])...)
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			all = append(all, strings.TrimPrefix(path+"."+name, ".")+" was added")
		}
	}
	return all
}

func TestDifferencesAreReported(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ a, b, want string }{
		{`{"a":{"b":1}}`, `{"a":{"b":1}}`, ""},
		{`{"a":{"b":1}}`, `{"a":{"b":1.0}}`, "a.b is 1.0, want 1"},
		{`{"a":{"b":1}}`, `{"a":{}}`, "a.b is missing"},
		{`{"a":{}}`, `{"a":{"b":null}}`, "a.b was added"},
		{`{"a":[1,{"x":false}]}`, `{"a":[1,{}]}`, "a is [1 map[]], want [1 map[x:false]]"},
		{`{"a":{}}`, `{"a":[]}`, "a is [], want map[]"},
	} {
		if got := strings.Join(differences("", decode(t, []byte(c.a)), decode(t, []byte(c.b))), "; "); got != c.want {
			t.Errorf("%s and %s: %q, want %q", c.a, c.b, got, c.want)
		}
	}
}
