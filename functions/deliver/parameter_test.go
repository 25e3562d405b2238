package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/spillwayhq/spillway/shared/deliver"
	"github.com/spillwayhq/spillway/shared/event"
	"github.com/spillwayhq/spillway/shared/message"
	"github.com/spillwayhq/spillway/shared/segment"
	"github.com/spillwayhq/spillway/shared/sqsclient"
)

// fakeSSM holds one parameter.
type fakeSSM struct {
	value string
	err   error
	hang  bool
	reads int
}

func (f *fakeSSM) GetParameter(ctx context.Context, in *ssm.GetParameterInput,
	_ ...func(*ssm.Options)) (*ssm.GetParameterOutput, error) {
	f.reads++
	if f.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if f.err != nil {
		return nil, f.err
	}
	if aws.ToString(in.Name) != "/spillway/write-key" || !aws.ToBool(in.WithDecryption) {
		return nil, errors.New("ParameterNotFound")
	}
	return &ssm.GetParameterOutput{Parameter: &types.Parameter{Value: aws.String(f.value)}}, nil
}

// outside is all that is around the handler: it takes what comes and remembers the write keys.
type outside struct{ keys []string }

func (o *outside) Flush(_ context.Context, b *event.Batch) error {
	o.keys = append(o.keys, b.WriteKey)
	return nil
}
func (o *outside) ChangeVisibility(context.Context, []sqsclient.VisibilityChange) error { return nil }
func (o *outside) Send(context.Context, []message.Message) error                        { return nil }

const oneEvent = `{"Records":[{"messageId":"m","receiptHandle":"r","body":"{\"type\":\"track\",\"userId\":\"u\",\"event\":\"Run\"}"}]}`

// newFunction is one that was started with the parameter as it is now. deliver reports which write
// key Segment saw.
func newFunction(t *testing.T, api *fakeSSM) (deliverOne func() string, log *bytes.Buffer) {
	t.Helper()
	log = new(bytes.Buffer)
	key := newDefaultKey(api, "/spillway/write-key", slog.New(slog.NewTextHandler(log, nil)))
	key.refresh(t.Context())
	o := &outside{}
	h, err := deliver.New(deliver.Config{Segment: o, Queue: o, DeadLetters: o, CurrentWriteKey: key.current})
	if err != nil {
		t.Fatal(err)
	}
	f := &function{h, []refresher{key}}
	return func() string {
		t.Helper()
		o.keys = nil
		out, err := f.Invoke(t.Context(), []byte(oneEvent))
		if err != nil {
			t.Fatal(err)
		}
		if stays := strings.Contains(string(out), `"m"`); stays != (len(o.keys) == 0) {
			t.Fatalf("Segment saw the keys %q, and the answer is %s", o.keys, out)
		}
		return strings.Join(o.keys, " ")
	}, log
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: delivered under %q, want %q", what, got, want)
	}
}

func TestAChangedParameterCountsAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fakeSSM{value: "first\n"}
		one, log := newFunction(t, api)
		expect(t, "at the start", one(), "first")
		api.value = "second"
		time.Sleep(refreshInterval - time.Second)
		expect(t, "before the minute is over", one(), "first")
		time.Sleep(time.Second)
		one() // reads beside its delivery
		expect(t, "after it", one(), "second")
		if api.reads != 2 {
			t.Errorf("read %d times, want 2", api.reads)
		}
		if strings.Contains(log.String(), "first") || strings.Contains(log.String(), "second") {
			t.Errorf("a write key stands in the log:\n%s", log)
		}
	})
}

func TestWhatCanNotBeReadChangesNothing(t *testing.T) {
	for name, broken := range map[string]fakeSSM{
		"an error": {err: errors.New("ThrottlingException")}, "a hang": {hang: true}, "an empty value": {value: " "},
		"two words": {value: "a secret"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &fakeSSM{value: "good"}
				one, log := newFunction(t, api)
				*api = broken
				for range 3 {
					time.Sleep(refreshInterval + time.Second)
					began := time.Now()
					expect(t, "with a broken parameter", one(), "good")
					if took := time.Since(began); took > readTimeout {
						t.Errorf("the invocation took %v", took)
					}
				}
				if !strings.Contains(log.String(), "stays in force") || strings.Contains(log.String(), "secret") {
					t.Errorf("the log says:\n%s", log)
				}
			})
		})
	}
}

func TestWithoutAFirstValueMessagesWaitAndItIsTriedAgainSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fakeSSM{err: errors.New("AccessDenied")}
		one, log := newFunction(t, api)
		expect(t, "without a value", one(), "")
		*api = fakeSSM{value: "late"}
		expect(t, "at once", one(), "")
		time.Sleep(firstInterval)
		expect(t, "5 s later", one(), "late")
		if !strings.Contains(log.String(), "messages without a write key wait") {
			t.Errorf("the log says:\n%s", log)
		}
	})
}

func TestAnEndpointOfSSMIsFollowedAndWithoutOneNothingIsSent(t *testing.T) {
	var hosts []string
	standIn := func(name string) string {
		s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hosts = append(hosts, name) }))
		t.Cleanup(s.Close)
		return s.URL
	}
	first, second := standIn("first"), standIn("second")
	api := &fakeSSM{err: errors.New("AccessDenied")}
	endpoint := newEndpoint(api, "/spillway/write-key", true, slog.New(slog.DiscardHandler))
	flush := func() error {
		endpoint.next = time.Time{} // due at once
		endpoint.refresh(t.Context())
		return swapped{endpoint}.Flush(t.Context(), &event.Batch{WriteKey: "k", Events: [][]byte{[]byte(`{}`)}})
	}
	var failed *segment.Error
	if err := flush(); !errors.As(err, &failed) || failed.Class != segment.Misconfigured || len(hosts) != 0 {
		t.Errorf("without an endpoint: %v, sent to %v", err, hosts)
	}
	*api = fakeSSM{value: first}
	if err := flush(); err != nil {
		t.Error(err)
	}
	api.value = "no endpoint"
	if err := flush(); err != nil {
		t.Error(err)
	}
	api.value = second + "\n"
	if err := flush(); err != nil {
		t.Error(err)
	}
	if want := []string{"first", "first", "second"}; !slices.Equal(hosts, want) {
		t.Errorf("sent to %v, want %v", hosts, want)
	}
}
