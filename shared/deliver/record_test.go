package deliver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/rawjson"
)

// plainRecord is a record as text, to be compared.
type plainRecord struct {
	id, receipt, body, origin string
	sent                      int64
	receives                  int
}

func byHand(doc []byte) (all []plainRecord, err error) {
	err = eachRecord(doc, func(rec *record) {
		p := plainRecord{id: rec.messageID, receipt: text(rec.receipt), body: string(rec.body), origin: rec.origin,
			receives: rec.receives}
		if !rec.sent.IsZero() {
			p.sent = rec.sent.UnixMilli()
		}
		all = append(all, p)
	})
	return all, err
}

func byLibrary(event *events.SQSEvent) (all []plainRecord, err error) {
	for _, m := range event.Records {
		if m.MessageId == "" {
			return all, errors.New("no messageId")
		}
		p := plainRecord{id: m.MessageId, receipt: m.ReceiptHandle, body: m.Body, receives: 1,
			origin: aws.ToString(m.MessageAttributes[message.AttrOrigin].StringValue)}
		if ms, err := strconv.ParseInt(m.Attributes["SentTimestamp"], 10, 64); err == nil && ms > 0 && ms < maxSent {
			p.sent = ms
		}
		if n, err := strconv.Atoi(m.Attributes["ApproximateReceiveCount"]); err == nil && n > 0 {
			p.receives = n
		}
		all = append(all, p)
	}
	return all, nil
}

// ambiguous recognises documents that encoding/json reads differently, as we know: it takes keys in
// any case, and merges duplicate ones.
func ambiguous(doc []byte) bool {
	type level struct {
		keys   []string
		object bool
		value  bool // a key was read and its value comes next
	}
	known := []string{"Records", "messageId", "receiptHandle", "body", "attributes", "messageAttributes", "stringValue",
		"SentTimestamp", "ApproximateReceiveCount", message.AttrOrigin}
	var stack []level
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	for {
		token, err := dec.Token()
		if err != nil {
			return false
		}
		top := (*level)(nil)
		if len(stack) > 0 {
			top = &stack[len(stack)-1]
		}
		if d, ok := token.(json.Delim); ok && (d == '}' || d == ']') {
			stack = stack[:len(stack)-1]
			continue
		}
		if top != nil && top.object && !top.value {
			key := token.(string)
			for _, other := range top.keys {
				if strings.EqualFold(key, other) {
					return true
				}
			}
			for _, name := range known {
				if strings.EqualFold(key, name) && key != name {
					return true
				}
			}
			top.keys = append(top.keys, key)
			top.value = true
			continue
		}
		if top != nil {
			top.value = false
		}
		if d, ok := token.(json.Delim); ok {
			stack = append(stack, level{object: d == '{'})
		}
	}
}

func FuzzEachRecordReadsWhatEncodingJSONReads(f *testing.F) {
	f.Add(payload(f, in{id: "a", body: track("a", 300), sent: time.UnixMilli(1_793_000_000_000), receives: 3,
		origin: "client", count: "4"}, in{id: "b", body: `"é😀\u0000`}))
	f.Add([]byte(`{"Records":[{"messageId":"\u0061","body":"\ud83d\ude00 \ud800 \/","attributes":{"SentTimestamp":"12","ApproximateReceiveCount":"2"}}]}`))
	f.Add([]byte(` {"x":null,"Records":[{"messageId":"a","body":null,"messageAttributes":{"Origin":{"stringValue":"client","dataType":"String"}}},{}]}`))
	f.Add([]byte(`{"Records":[]}`))
	f.Add([]byte(`{"Records":[{"messageId":"a","body":"x"`))
	f.Add([]byte(`{"records":[{"messageid":"a"}],"Records":[{"MessageId":"b"}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		if len(doc) > 9000 { // encoding/json refuses 10,000 levels of nesting
			return
		}
		got, err := byHand(doc)
		if !json.Valid(doc) {
			if err == nil {
				t.Fatalf("%q is not JSON and was read", doc)
			}
			return
		}
		var event events.SQSEvent
		if json.Unmarshal(doc, &event) != nil {
			return
		}
		expected, broken := byLibrary(&event)
		if utf8.Valid(doc) && event.Records != nil && !ambiguous(doc) {
			if (err == nil) != (broken == nil) || fmt.Sprint(got) != fmt.Sprint(expected) {
				t.Fatalf("%q: read as %+v, %v; encoding/json reads %+v, %v", doc, got, err, expected, broken)
			}
		}
		// A payload of Lambda is not ambiguous.
		again, err2 := json.Marshal(event)
		if err2 != nil {
			t.Fatal(err2)
		}
		if event.Records == nil {
			return
		}
		got, err = byHand(again)
		if (err == nil) != (broken == nil) || fmt.Sprint(got) != fmt.Sprint(expected) {
			t.Fatalf("%q: read as %+v, %v; encoding/json reads %+v, %v", again, got, err, expected, broken)
		}
	})
}

// FuzzInvoke gives the handler a payload as it is, and two messages with these bodies: it may never
// panic, every event must be counted once, all that Segment gets must be JSON with an identity, and
// every dead letter must be one that SQS takes.
func FuzzInvoke(f *testing.F) {
	f.Add(payload(f, in{id: "a", body: track("a", 300)}), "a", track("a", 300),
		body(keyA, track("a", 300), `{"type":"tick"}`), uint64(0))
	f.Add([]byte(`{"Records":[{"messageId":"m","body":"{}"}]}`), `"\`, `{"type":"track","userId":"u","event":"E"}`,
		`{"batch":[1,null,{"type":"track","messageId":"","userId":1,"event":"E"}]}`, uint64(1))
	f.Add([]byte(`{}`), "\x00",
		`{"batch":[{"messageId":null,"timestamp":null,"type":"alias","userId":"u","previousId":"p"}],"context":{},"origin":"client"}`, "KLUv/SAA", uint64(2))
	f.Add([]byte(`[]`), "x", "", "\xff", uint64(3))
	f.Add([]byte(`null`), "x", `{"batch":[{}],"batch":[{ }]}`,
		`{"type":"track","type":"page","userId":"u", "timestamp" : null }`, uint64(1))
	f.Add([]byte(``), "x", zipped(f, body(keyB, tracks("e", 20, 300)...)), body("", tracks("e", 20, 300)...),
		uint64(0x5555))
	codes := []int{0, 400, 401, 429}
	f.Fuzz(func(t *testing.T, doc []byte, id, first, second string, answers uint64) {
		r := newRig(t, nil)
		r.segment.answer = func(_ context.Context, b *event.Batch) error {
			code := codes[answers>>(2*(len(b.Events)%32))&3]
			for _, e := range b.Events {
				if len(e) >= 9000 { // encoding/json refuses 10,000 levels of nesting
					continue
				}
				var event map[string]json.RawMessage // as Segment reads it: keys in their case, the last one counts
				if err := json.Unmarshal(e, &event); err != nil {
					t.Errorf("Segment gets %q: %v", e, err)
				}
				if id := event["messageId"]; len(id) < 3 || id[0] != '"' || rawjson.IsNull(event["timestamp"]) {
					t.Errorf("Segment gets %q without an identity", e)
				}
			}
			if code == 0 {
				return nil
			}
			return status(code)
		}
		if out, err := r.Invoke(t.Context(), doc); err == nil && !json.Valid(out) {
			t.Fatalf("%q is answered with %q", doc, out)
		} else if err == nil {
			if err := balanced(&r.last); err != nil {
				t.Fatal(err)
			}
		}
		if id == "" || !utf8.ValidString(id) {
			id = "m"
		}
		out, err := r.Invoke(t.Context(),
			payload(t, in{id: id, body: first, sent: time.UnixMilli(1_793_000_000_000)},
				in{id: "second", body: second, receives: 2}))
		if err != nil {
			t.Fatal(err)
		}
		if err := balanced(&r.last); err != nil {
			t.Fatal(err)
		}
		if r.last.DeadLetterErrors > 0 {
			t.Fatalf("dead letters that SQS does not take: %s", r.log.String())
		}
		var response events.SQSEventResponse
		if err := json.Unmarshal(out, &response); err != nil {
			t.Fatal(err)
		}
		for _, failure := range response.BatchItemFailures {
			if !slices.Contains([]string{id, "second"}, failure.ItemIdentifier) {
				t.Fatalf("the answer %s names a message that never came", out)
			}
		}
	})
}

func TestTheResponseIsWhatLambdaReads(t *testing.T) {
	r := newRig(t, func(context.Context, *event.Batch) error { return status(401) })
	ids := []string{"059f36b4-87a3-44ab-83d2-661975830a7d", `with "quotes" \ and é`, "tab\t"}
	var messages []in
	for _, id := range ids {
		messages = append(messages, in{id: id, body: body(keyA, track("a", 300))})
	}
	out, err := r.Invoke(t.Context(), payload(t, messages...))
	if err != nil {
		t.Fatal(err)
	}
	var response events.SQSEventResponse
	for _, id := range ids {
		response.BatchItemFailures = append(response.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: id})
	}
	slices.SortFunc(response.BatchItemFailures,
		func(a, b events.SQSBatchItemFailure) int { return strings.Compare(a.ItemIdentifier, b.ItemIdentifier) })
	var got events.SQSEventResponse
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got.BatchItemFailures,
		func(a, b events.SQSBatchItemFailure) int { return strings.Compare(a.ItemIdentifier, b.ItemIdentifier) })
	want(t, "response", got, response)
}
