package deadletter

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func TestAFilterSelectsByWhatIsInADeadLetter(t *testing.T) {
	at := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	l := Parse(&types.Message{MessageId: aws.String("sqs-id"), Attributes: map[string]string{"SentTimestamp": "1795780800000"},
		Body: aws.String(`{"writeKey":"k","batch":[{"type":"track","event":"Paid \"now\"","userId":"anna"},` +
			`{"type":"page","name":"Home","anonymousId":7}]}`)})
	unreadable := Parse(&types.Message{MessageId: aws.String("other"), Body: aws.String("no JSON")})
	r, err := NewReader()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for name, c := range map[string]struct {
		filter Filter
		want   bool
	}{
		"all":                        {Filter{}, true},
		"its ID":                     {Filter{IDs: []string{"x", "sqs-id"}}, true},
		"another ID":                 {Filter{IDs: []string{"x"}}, false},
		"its event":                  {Filter{Events: []string{`Paid "now"`}}, true},
		"the type of another event":  {Filter{Events: []string{"page"}}, true},
		"the name of a page":         {Filter{Events: []string{"Home"}}, false},
		"the type of a track":        {Filter{Events: []string{"track"}}, false},
		"its user":                   {Filter{Users: []string{"anna"}}, true},
		"its anonymous user":         {Filter{Users: []string{"7"}}, true},
		"another user":               {Filter{Users: []string{"bob"}}, false},
		"event and user":             {Filter{Events: []string{"page"}, Users: []string{"7"}}, true},
		"event and another user":     {Filter{Events: []string{"page"}, Users: []string{"bob"}}, false},
		"sent before the bound":      {Filter{SentUntil: time.UnixMilli(1795780800000)}, true},
		"sent after the bound":       {Filter{SentUntil: time.UnixMilli(1795780799999)}, false},
		"its key and an empty event": {Filter{WriteKey: func(k string) bool { return k == "k" }, Events: []string{""}}, false},
	} {
		if got := c.filter.Match(l, at, r); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
		if c.filter.Match(unreadable, at, r) != (name == "all" || name == "sent before the bound" || name == "sent after the bound") {
			t.Errorf("%s: the body that can't be read", name)
		}
	}
}
