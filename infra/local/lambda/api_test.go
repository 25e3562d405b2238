package lambda

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// call invokes through the API.
func callAPI(t *testing.T, a *API, path, payload string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(payload))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheInvokeAPIFindsAFunctionByNameARNAndQualifier(t *testing.T) {
	inBubble(t, func() FunctionConfig { return FunctionConfig{Name: "shop-deliver", NewEnvironment: told("old")} },
		func(t *testing.T, f *Function) {
			f.Publish()
			f.UpdateCode(told("new"))
			f.Publish()
			if _, err := f.CreateAlias("live", Routing{Version: "1"}); err != nil {
				t.Fatal(err)
			}
			a := NewAPI(f)
			for _, c := range []struct{ function, query, want, version string }{
				{"shop-deliver", "", "new $LATEST shop-deliver", "$LATEST"},
				{"shop-deliver", "?Qualifier=1", "old 1 shop-deliver:1", "1"},
				{"shop-deliver:2", "", "new 2 shop-deliver:2", "2"},
				{"shop-deliver:live", "?Qualifier=live", "old 1 shop-deliver:live", "1"},
				{f.ARN(), "", "new $LATEST shop-deliver", "$LATEST"},
				{f.ARN() + ":live", "", "old 1 shop-deliver:live", "1"},
			} {
				r := callAPI(t, a, "/2015-03-31/functions/"+url.PathEscape(c.function)+"/invocations"+c.query, "{}")
				if got := body(t, r); got != c.want || r.StatusCode != 200 || r.Header.Get("X-Amz-Function-Error") != "" ||
					r.Header.Get("X-Amz-Executed-Version") != c.version {
					t.Errorf("%s%s: %d %q of version %q", c.function, c.query, r.StatusCode, got,
						r.Header.Get("X-Amz-Executed-Version"))
				}
			}
			for _, c := range []struct {
				function, query, kind string
				status                int
			}{
				{"other", "", "ResourceNotFoundException", 404},
				{"shop-deliver", "?Qualifier=3", "ResourceNotFoundException", 404},
				{"shop-deliver:1", "?Qualifier=2", "InvalidParameterValueException", 400},
			} {
				r := callAPI(t, a, "/2015-03-31/functions/"+c.function+"/invocations"+c.query, "{}")
				if r.StatusCode != c.status || r.Header.Get("X-Amzn-Errortype") != c.kind {
					t.Errorf("%s%s: %d %s", c.function, c.query, r.StatusCode, r.Header.Get("X-Amzn-Errortype"))
				}
			}
			if r := callAPI(t, a, "/2015-03-31/functions/shop-deliver/invocations", "{}", "X-Amz-Invocation-Type", "Event"); r.
				StatusCode != 400 {
				t.Errorf("an asynchronous invocation: %d", r.StatusCode)
			}
			if r := callAPI(t, a, "/2015-03-31/functions/shop-deliver/invocations", strings.Repeat("x", maxPayload+1)); r.
				StatusCode != 413 {
				t.Errorf("a payload that is too large: %d", r.StatusCode)
			}
		})
}

func TestTheInvokeAPITellsAnErrorOfTheFunctionFromItsOwn(t *testing.T) {
	inBubble(t, func() FunctionConfig {
		return FunctionConfig{Timeout: time.Minute, ReservedConcurrency: 1,
			NewEnvironment: same(func(_ context.Context, payload []byte) ([]byte, error) {
				if string(payload) == "slow" {
					time.Sleep(time.Hour)
				}
				return nil, errors.New("it does not work")
			})}
	}, func(t *testing.T, f *Function) {
		a := NewAPI(f)
		const path = "/2015-03-31/functions/function/invocations"
		r := callAPI(t, a, path, "{}")
		if got := body(t, r); r.StatusCode != 200 || r.Header.Get("X-Amz-Function-Error") != "Unhandled" ||
			got != `{"errorMessage":"it does not work","errorType":"errorString"}` {
			t.Errorf("an error: %d %s", r.StatusCode, got)
		}
		slow := make(chan *http.Response, 1)
		go func() { slow <- callAPI(t, a, path, "slow") }()
		time.Sleep(time.Second)
		if r := callAPI(t, a, path, "{}"); r.StatusCode != 429 ||
			r.Header.Get("X-Amzn-Errortype") != "TooManyRequestsException" {
			t.Errorf("above the concurrency limit: %d %s", r.StatusCode, r.Header.Get("X-Amzn-Errortype"))
		}
		r = <-slow
		if got := body(t, r); r.StatusCode != 200 || r.Header.Get("X-Amz-Function-Error") == "" ||
			!strings.Contains(got, "Task timed out after 60.00 seconds") {
			t.Errorf("a timeout: %d %s", r.StatusCode, got)
		}
		time.Sleep(time.Hour) // the abandoned handler ends
	})
}
