package sqs

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/uuid"
)

func TestAReceiptHandleIsDecodedAndAnyChangeToItIsRefused(t *testing.T) {
	h := handle{queue: 7, place: place{at: 1, sent: 2, seq: 3}, count: 4, nonce: 5}
	s := h.String()
	if got, ok := decodeHandle(s); !ok || got != h {
		t.Fatalf("%+v, %v", got, ok)
	}
	for i := range s {
		b := []byte(s)
		b[i] ^= 1
		if got, ok := decodeHandle(string(b)); ok && got != h {
			t.Fatalf("changed at %d: accepted as %+v", i, got)
		}
	}
}

func TestAStoredMessageIsDecodedAsItWasEncoded(t *testing.T) {
	l := storedMessage{id: uuid.New(), group: "g", trace: "t", source: "s", body: strings.Repeat("ü", 300),
		attributes: []named{{"a", MessageAttribute{DataType: "String", StringValue: "v"}},
			{"b", MessageAttribute{DataType: "Binary.x", BinaryValue: []byte{0, 1}}}}}
	got, err := decodeStoredMessage(l.encode())
	if err != nil || got.id != l.id || got.body != l.body ||
		got.group+got.trace+got.source != "gts" ||
		attributesMD5(got.attributes) != attributesMD5(l.attributes) {
		t.Fatalf("%+v, %v", got, err)
	}
	for n := range 33 {
		if _, err := decodeStoredMessage(l.encode()[:n]); err == nil {
			t.Fatalf("%d bytes were accepted", n)
		}
	}
}

func TestMessageBodiesMustBeXMLCharacters(t *testing.T) {
	for body, want := range map[string]bool{
		"plain": true, "\t\n\r": true, "\x00": false, "\x1f": false, "ü\U0001F680": true, "\uFFFD": true,
		"\uFFFE": false, "\uFFFF": false, "\x7f": true, "\xff": false,
	} {
		if _, bad := forbiddenRune(body); bad == want {
			t.Errorf("%q: accepted %v, want %v", body, !bad, want)
		}
	}
}

func TestHalfSurrogatePairsAreFound(t *testing.T) {
	for s, want := range map[string]bool{
		`"\ud83d\ude80"`: false, `"\ud83d"`: true, `"\ude80"`: true, `"\ud83dx"`: true, `"\\ud83d"`: false,
		`"\n\u00fc"`: false, `"\ud83d\n"`: true, `\`: false, `"\u12"`: false,
	} {
		if got := loneSurrogate([]byte(s)); got != want {
			t.Errorf("%s: %v, want %v", s, got, want)
		}
	}
}

func TestNumbersAreDecimal(t *testing.T) {
	for s, want := range map[string]bool{"1": true, "-1.5e3": true, "+7": true, "0x1p4": false, "Inf": false,
		"1_000": false, "": false, "1e": false} {
		if got := legalNumber(s); got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
	}
}

func TestRedrivePoliciesAreParsed(t *testing.T) {
	const arn = "arn:aws:sqs:us-east-1:000000000000:dead"
	for policy, want := range map[string]uint64{
		`{"deadLetterTargetArn":"` + arn + `","maxReceiveCount":5}`:      5,
		`{"deadLetterTargetArn":"` + arn + `","maxReceiveCount":"1000"}`: 1000,
		`{"deadLetterTargetArn":"` + arn + `","maxReceiveCount":1001}`:   0,
		`{"deadLetterTargetArn":"` + arn + `","maxReceiveCount":1.5}`:    0,
		`{"deadLetterTargetArn":"queue","maxReceiveCount":5}`:            0,
		`{"maxReceiveCount":5}`: 0,
		`[]`:                    0,
	} {
		r, err := parseRedrive(policy)
		if (err == nil) != (want > 0) || err == nil && (r.Max != want || r.Target != arn) {
			t.Errorf("%s: %+v, %v", policy, r, err)
		}
	}
}

func TestDelayedMessagesAreCountedUntilTheyAreDue(t *testing.T) {
	var d delayed
	d.add(300, 2)
	d.add(100, 1)
	d.add(300, 1)
	d.remove(300)
	d.remove(200) // never there
	for _, c := range []struct{ now, want int64 }{{50, 3}, {100, 2}, {299, 2}, {300, 0}, {1000, 0}} {
		if got := d.advance(c.now); got != c.want {
			t.Errorf("at %d: %d, want %d", c.now, got, c.want)
		}
	}
}

func TestAPermissionIsAddedToThePolicyThatWasSet(t *testing.T) {
	s := open(t, Options{})
	for name, c := range map[string]struct{ set, want string }{
		"one":  {`{"Version":"2012-10-17","Statement":{"Sid":"mine"}}`, "mine,new"},
		"list": {`{"Version":"2012-10-17","Id":"x","Statement":[{"Sid":"a"},{"Sid":"b"}]}`, "a,b,new"},
		"none": {`{"Version":"2012-10-17"}`, "new"},
	} {
		q := queue(t, s, name, map[string]string{"Policy": c.set})
		in := &addPermissionInput{Label: "new", AWSAccountIds: []string{"1", "2"}, Actions: []string{"*"}}
		if _, err := addPermission(call{}, q, in); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p, err := parsePolicy(q.attributes()["Policy"])
		if err != nil || p.Version != "2012-10-17" {
			t.Errorf("%s: %+v, %v", name, p, err)
			continue
		}
		var sids []string
		for _, b := range p.Statement {
			var st statement
			if err := json.Unmarshal(b, &st); err != nil {
				t.Errorf("%s: %s: %v", name, b, err)
			}
			sids = append(sids, st.Sid)
		}
		if got := strings.Join(sids, ","); got != c.want {
			t.Errorf("%s: statements %s, want %s", name, got, c.want)
		}
	}
	q := queue(t, s, "bad", map[string]string{"Policy": `{"Statement":7}`})
	in := &addPermissionInput{Label: "new", AWSAccountIds: []string{"1"}, Actions: []string{"*"}}
	if _, err := addPermission(call{}, q, in); err == nil {
		t.Error("a permission was added to what is not a policy")
	}
}
