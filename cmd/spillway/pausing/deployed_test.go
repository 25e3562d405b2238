package pausing

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/operator"
)

// An account is Lambda, SSM and STS of an account with one pipeline. Lambda takes delay to
// change the state of an event source, and answers ResourceInUseException meanwhile.
type account struct {
	delay      time.Duration
	sources    []*source
	parameters map[string]string
	missing    bool   // there is no function
	denied     string // an action that the caller may not do
	calls      []string
	during     func(action string) // called before each answer; nil: nothing is
}

type source struct {
	uuid, function, state, next string
	queue                       string    // empty: the events queue
	at                          time.Time // when state becomes next
}

const caller = "arn:aws:sts::123456789012:assumed-role/operators/ann"

func newAccount() *account {
	return &account{delay: 20 * time.Second, parameters: map[string]string{},
		sources: []*source{{uuid: "u1", function: "spillway-deliver:live", state: "Enabled"}}}
}

func (a *account) pipeline() *Deployed {
	return &Deployed{Names: topology.DefaultNames(), Config: aws.Config{Region: "eu-west-1", HTTPClient: a,
		RetryMaxAttempts: 1, BaseEndpoint: aws.String("http://aws.test"),
		Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", "")}}
}

// Do implements aws.HTTPClient.
func (a *account) Do(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	body, _ := io.ReadAll(r.Body)
	action := actionOf(r, string(body))
	if a.during != nil {
		a.during(action)
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	a.calls = append(a.calls, action)
	if action == a.denied {
		w.Header().Set("X-Amzn-ErrorType", "AccessDeniedException")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"Message":"ann is not authorized"}`)
		return w.Result(), nil
	}
	a.answer(w, r, action, body)
	return w.Result(), nil
}

func actionOf(r *http.Request, body string) string {
	switch target := r.Header.Get("X-Amz-Target"); {
	case target != "":
		return target[strings.LastIndex(target, ".")+1:]
	case r.Method == http.MethodPut:
		return "UpdateEventSourceMapping"
	case strings.HasSuffix(r.URL.Path, "/event-source-mappings"):
		return "ListEventSourceMappings"
	case strings.Contains(r.URL.Path, "/event-source-mappings/"):
		return "GetEventSourceMapping"
	}
	form, _ := url.ParseQuery(body)
	return form.Get("Action")
}

func (a *account) answer(w http.ResponseWriter, r *http.Request, action string, body []byte) {
	var in struct {
		Name, Value string
		Enabled     *bool
	}
	_ = json.Unmarshal(body, &in)
	switch action {
	case "GetCallerIdentity":
		_, _ = io.WriteString(w, `<R><GetCallerIdentityResult><Arn>`+caller+`</Arn></GetCallerIdentityResult></R>`)
	case "ListEventSourceMappings":
		if a.missing {
			w.Header().Set("X-Amzn-ErrorType", "ResourceNotFoundException")
			w.WriteHeader(http.StatusNotFound)
			return
		}
		var all []string
		for _, s := range a.sources {
			if r.URL.Query().Get("FunctionName") == s.function {
				all = append(all, s.json())
			}
		}
		_, _ = io.WriteString(w, `{"EventSourceMappings":[`+strings.Join(all, ",")+`]}`)
	case "GetEventSourceMapping", "UpdateEventSourceMapping":
		s := a.sources[0]
		for _, other := range a.sources {
			if strings.HasSuffix(r.URL.Path, "/"+other.uuid) {
				s = other
			}
		}
		s.update(w, in.Enabled, a.delay)
	default:
		a.ssm(w, action, in.Name, in.Value)
	}
}

func (s *source) json() string {
	if s.next != "" && !time.Now().Before(s.at) {
		s.state, s.next = s.next, ""
	}
	return fmt.Sprintf(`{"UUID":%q,"State":%q,"EventSourceArn":"arn:aws:sqs:eu-west-1:123456789012:%s"}`, s.uuid, s.state,
		cmp.Or(s.queue, "spillway-events"))
}

func (s *source) update(w http.ResponseWriter, enabled *bool, delay time.Duration) {
	_ = s.json()
	switch {
	case enabled == nil:
	case s.next != "":
		w.Header().Set("X-Amzn-ErrorType", "ResourceInUseException")
		w.WriteHeader(http.StatusBadRequest)
		return
	case *enabled:
		s.state, s.next, s.at = "Enabling", "Enabled", time.Now().Add(delay)
	default:
		s.state, s.next, s.at = "Disabling", "Disabled", time.Now().Add(delay)
	}
	if enabled != nil {
		w.WriteHeader(http.StatusAccepted)
	}
	_, _ = io.WriteString(w, s.json())
}

func (a *account) ssm(w http.ResponseWriter, action, name, value string) {
	_, exists := a.parameters[name]
	switch {
	case action == "PutParameter":
		a.parameters[name] = value
		_, _ = io.WriteString(w, `{"Version":1}`)
	case !exists:
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type":"ParameterNotFound"}`)
	case action == "DeleteParameter":
		delete(a.parameters, name)
		_, _ = io.WriteString(w, `{}`)
	default:
		text, _ := json.Marshal(a.parameters[name])
		_, _ = fmt.Fprintf(w, `{"Parameter":{"Value":%s,"Version":1}}`, text)
	}
}

const pausedParameter = "/spillway/paused"

func TestPauseAndResumeSwitchTheEventSourceAndTheMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount()
		d := a.pipeline()
		paused, err := d.Pause(t.Context(), Order{Reason: "Segment migrates"})
		if err != nil || paused.Already || paused.Note != "" || paused.Mark.By != caller ||
			paused.Mark.Reason != "Segment migrates" ||
			a.sources[0].state != "Disabled" {
			t.Fatalf("%+v, %v; the event source is %s", paused, err, a.sources[0].state)
		}
		if m, err := operator.Parse([]byte(a.parameters[pausedParameter])); err != nil || m != paused.Mark {
			t.Errorf("the parameter has %+v, %v", m, err)
		}
		again, err := d.Pause(t.Context(), Order{Reason: "another"})
		if err != nil || !again.Already || again.Mark != paused.Mark {
			t.Errorf("paused again: %+v, %v", again, err)
		}
		resumed, err := d.Resume(t.Context(), Order{})
		if err != nil || resumed.Already || resumed.Mark != paused.Mark || a.sources[0].state != "Enabled" ||
			len(a.parameters) > 0 {
			t.Errorf("resumed: %+v, %v; the event source is %s; parameters %v", resumed, err, a.sources[0].state, a.parameters)
		}
		if resumed, err = d.Resume(t.Context(), Order{}); err != nil || !resumed.Already || resumed.Mark.IsSet() {
			t.Errorf("resumed again: %+v, %v", resumed, err)
		}
	})
}

func TestTheMarkIsThereBeforeTheEventSourceIsOffAndAfterItIsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount()
		a.during = func(string) {
			if a.sources[0].state != "Enabled" && a.parameters[pausedParameter] == "" {
				t.Errorf("the event source is %s, and no mark says why", a.sources[0].state)
			}
		}
		d := a.pipeline()
		if _, err := d.Pause(t.Context(), Order{}); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Resume(t.Context(), Order{}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestWhatIsFoundHalfSwitchedIsMadeWhole(t *testing.T) {
	mark := `{"since":"2026-01-31T12:00:00Z","by":"bob"}`
	for _, c := range []struct {
		name          string
		state, marked string
		pause         bool
		note          string
		wantBy        string
	}{
		{"enabled although it is marked", "Enabled", mark, true, "is disabled now", "bob"},
		{"disabled without a mark", "Disabled", "", true, "", caller},
		{"disabled without a mark", "Disabled", "", false, "without a mark", ""},
		{"marked by something else", "Enabled", "yes", true, "", caller},
		{"marked by something else", "Disabled", "yes", false, "", ""},
		{"enabled although it is marked", "Enabled", mark, false, "", "bob"},
	} {
		t.Run(fmt.Sprintf("%s, pause %t", c.name, c.pause), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAccount()
				a.sources[0].state = c.state
				if c.marked != "" {
					a.parameters[pausedParameter] = c.marked
				}
				do, want := a.pipeline().Resume, "Enabled"
				if c.pause {
					do, want = a.pipeline().Pause, "Disabled"
				}
				done, err := do(t.Context(), Order{})
				_, marked := a.parameters[pausedParameter]
				if err != nil || done.Already || done.Mark.By != c.wantBy || !strings.Contains(done.Note, c.note) ||
					c.note == "" && done.Note != "" || a.sources[0].state != want || marked != c.pause {
					t.Errorf("%+v, %v; the event source is %s; parameters %v", done, err, a.sources[0].state, a.parameters)
				}
			})
		})
	}
}

func TestAllEventSourcesOfTheFunctionAreSwitchedAndNoOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount()
		a.sources = append(a.sources, &source{uuid: "u2", function: "spillway-deliver", state: "Enabling", next: "Enabled",
			at: time.Now().Add(10 * time.Second)}, &source{uuid: "u3", function: "spillway-deliver", queue: "another", state: "Enabled"},
			&source{uuid: "u4", function: "spillway-deliver:live", queue: "spillway-bulk", state: "Enabled"})
		if _, err := a.pipeline().Pause(t.Context(), Order{}); err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"Disabled", "Disabled", "Enabled", "Disabled"} {
			if got := a.sources[i].state; got != want {
				t.Errorf("%s is %s, want %s", a.sources[i].uuid, got, want)
			}
		}
		a.sources = a.sources[2:]
		if _, err := a.pipeline().Pause(t.Context(), Order{}); err == nil ||
			!strings.Contains(err.Error(), "no event source feeds") {
			t.Errorf("without any: %v", err)
		}
	})
}

// Lambda takes half a minute for each, and a person waits.
func TestBothQueuesAreSwitchedAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount()
		a.sources = append(a.sources, &source{uuid: "u2", function: "spillway-deliver:live", queue: "spillway-bulk",
			state: "Enabled"})
		for _, do := range []func(context.Context, Order) (Outcome, error){a.pipeline().Pause, a.pipeline().Resume} {
			began := time.Now()
			done, err := do(t.Context(), Order{})
			if took := time.Since(began); err != nil || done.Note != "" || took > a.delay+5*time.Second {
				t.Errorf("%+v, %v, after %v", done, err, took)
			}
			if a.sources[0].state != a.sources[1].state {
				t.Errorf("one is %s, and the other %s", a.sources[0].state, a.sources[1].state)
			}
		}
	})
}

func TestAPauseThatLambdaRefusesLeavesNoMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount()
		a.denied = "UpdateEventSourceMapping"
		_, err := a.pipeline().Pause(t.Context(), Order{})
		if err == nil || !strings.Contains(err.Error(), "allow your role lambda:UpdateEventSourceMapping") ||
			len(a.parameters) > 0 {
			t.Errorf("%v; parameters %v", err, a.parameters)
		}
	})
}

func TestAPauseThatIsInterruptedWhileLambdaChangesKeepsItsMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount()
		ctx, cancel := context.WithCancel(t.Context())
		a.during = func(action string) {
			if action == "GetEventSourceMapping" {
				cancel()
			}
		}
		if _, err := a.pipeline().Pause(ctx, Order{}); !errors.Is(err, context.Canceled) ||
			a.parameters[pausedParameter] == "" {
			t.Errorf("%v; parameters %v", err, a.parameters)
		}
	})
}

func TestASlowLambdaIsSaidAndIsNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount()
		a.delay = 10 * time.Minute
		done, err := a.pipeline().Pause(t.Context(), Order{})
		if err != nil || !done.Mark.IsSet() || !strings.Contains(done.Note, "still says that its event source is Disabling") {
			t.Errorf("%+v, %v", done, err)
		}
		if _, err = a.pipeline().Resume(t.Context(), Order{}); err == nil ||
			!strings.Contains(err.Error(), "run this again later") ||
			a.parameters[pausedParameter] == "" {
			t.Errorf("resumed at once: %v", err)
		}
	})
}

func TestWhoseTheCredentialsAreNeedNotBeKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount()
		a.denied = "GetCallerIdentity"
		if done, err := a.pipeline().Pause(t.Context(), Order{Reason: "x"}); err != nil || done.Mark.By != "" ||
			done.Mark.Reason != "x" {
			t.Errorf("%+v, %v", done, err)
		}
		a = newAccount()
		a.during = func(action string) {
			if action == "GetCallerIdentity" { // as if STS did not answer
				time.Sleep(6 * time.Second)
			}
		}
		if done, err := a.pipeline().Pause(t.Context(), Order{}); err != nil || done.Mark.By != "" {
			t.Errorf("while STS does not answer: %+v, %v", done, err)
		}
	})
}

// With the wrong name or region, a list would be made that nothing reads.
func TestAWriteKeyOfNoPipelineIsNotPaused(t *testing.T) {
	a := newAccount()
	a.missing = true
	d := a.pipeline()
	for what, do := range map[string]func(context.Context, Order) (Outcome, error){"pause": d.Pause, "resume": d.Resume} {
		done, err := do(t.Context(), Order{Key: "0a1b2c3d"})
		if err == nil || !strings.Contains(err.Error(), "there is no pipeline spillway in eu-west-1") {
			t.Errorf("%s: %+v, %v", what, done, err)
		}
	}
	if len(a.parameters) > 0 {
		t.Errorf("parameters %v were made", a.parameters)
	}
}

func TestWriteKeysArePausedOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const parameter = "/spillway/paused-keys"
		a := newAccount()
		d := a.pipeline()
		for _, key := range []string{"0a1b2c3d", "4e5f6071", "0a1b2c3d"} {
			done, err := d.Pause(t.Context(), Order{Key: key})
			if err != nil || done.Mark.By != caller ||
				done.Already != (key == "0a1b2c3d" && strings.Contains(a.parameters[parameter], "4e5f")) {
				t.Errorf("%s: %+v, %v", key, done, err)
			}
		}
		if keys, err := operator.ParseKeys([]byte(a.parameters[parameter])); err != nil || len(keys) != 2 {
			t.Errorf("%v, %v", keys, err)
		}
		for _, key := range []string{"0a1b2c3d", "4e5f6071"} {
			if done, err := d.Resume(t.Context(), Order{Key: key}); err != nil || done.Already || !done.Mark.IsSet() {
				t.Errorf("%s: %+v, %v", key, done, err)
			}
		}
		if done, err := d.Resume(t.Context(), Order{Key: "4e5f6071"}); err != nil || !done.Already {
			t.Errorf("%+v, %v", done, err)
		}
		if keys, err := operator.ParseKeys([]byte(a.parameters[parameter])); err != nil || len(keys) != 2 || len(keys.Paused()) > 0 {
			t.Errorf("after all were resumed: %v, %v", keys, err)
		}
		if a.sources[0].state != "Enabled" {
			t.Error("a key switched delivery")
		}
		a.parameters[parameter] = "0a1b2c3d"
		if _, err := d.Pause(t.Context(), Order{Key: "4e5f6071"}); err == nil ||
			!strings.Contains(err.Error(), "correct it, or delete the parameter") ||
			a.parameters[parameter] != "0a1b2c3d" {
			t.Errorf("with a list that can't be read: %v", err)
		}
	})
}
