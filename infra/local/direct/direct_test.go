package direct

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestARequestReachesTheHandlerAndItsAnswerTheCaller(t *testing.T) {
	c := Client(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("X-Was", r.Method+" "+r.Host+r.RequestURI)
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write(append(body, '!'))
	}))
	for method, sent := range map[string]io.Reader{http.MethodGet: nil, http.MethodPost: strings.NewReader("tea")} {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://anywhere.test/pot?sort=green", sent)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		if want := map[bool]string{false: "!", true: "tea!"}[sent != nil]; err != nil || string(body) != want ||
			answer.Status != "418 I'm a teapot" || answer.ContentLength != int64(len(body)) ||
			answer.Header.Get("X-Was") != method+" anywhere.test/pot?sort=green" {
			t.Errorf("%+v %q, %v", answer, body, err)
		}
	}
}

func TestARequestWhoseContextEndsGetsItsError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := Client(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { cancel() }))
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://anywhere.test/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := c.Do(r); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", answer, err)
	}
}
