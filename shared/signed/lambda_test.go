package signed

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// lambda answers requests by their path and query with what is in answers, and others with 404.
func lambda(t *testing.T, answers map[string]string) aws.Config {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.RequestURI()]
		if !ok {
			w.Header().Set("X-Amzn-ErrorType", "ResourceNotFoundException")
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	return aws.Config{Region: "eu-west-1", BaseEndpoint: aws.String(server.URL),
		Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", "")}
}

func TestTheEventSourcesOfAFunctionAndOfItsAliasAreFound(t *testing.T) {
	const path = "/2015-03-31/event-source-mappings?FunctionName=deliver"
	const alias = path + "%3Alive"
	one := `{"EventSourceMappings":[{"UUID":"1"}]}`
	for name, c := range map[string]struct {
		answers map[string]string
		want    string
	}{
		"of the alias":    {map[string]string{path: `{}`, alias: one}, "1"},
		"of the function": {map[string]string{path: one, alias: `{}`}, "1"},
		"there is no alias, as an earlier version deployed it": {map[string]string{path: one}, "1"},
		"both lists have it": {map[string]string{path: one, alias: one}, "1"},
		"each has one":       {map[string]string{path: one, alias: `{"EventSourceMappings":[{"UUID":"2"}]}`}, "1 2"},
		"no function":        {nil, "ResourceNotFoundException"},
	} {
		sources, err := EventSources(t.Context(), lambda(t, c.answers), "deliver")
		var ids []string
		for _, s := range sources {
			ids = append(ids, s.UUID)
		}
		if err != nil && strings.Contains(err.Error(), "ResourceNotFoundException") {
			ids = []string{"ResourceNotFoundException"}
		}
		if got := strings.Join(ids, " "); got != c.want {
			t.Errorf("%s: found %q, %v, want %q", name, got, err, c.want)
		}
	}
}

func TestAVersionIsReadByItsQualifier(t *testing.T) {
	c := lambda(t, map[string]string{
		"/2015-03-31/functions/f/configuration":                `{"Version":"$LATEST"}`,
		"/2015-03-31/functions/f/configuration?Qualifier=live": `{"Version":"7"}`,
		"/2015-03-31/functions/f/aliases/live":                 `{"FunctionVersion":"7","RoutingConfig":{"AdditionalVersionWeights":{"8":0.1}}}`,
	})
	for name, want := range map[string]string{"f": "$LATEST", "f:live": "7"} {
		if f, err := Configuration(t.Context(), c, name); err != nil || f.Version != want {
			t.Errorf("%s is version %s, %v, want %s", name, f.Version, err, want)
		}
	}
	if a, err := LiveAlias(t.Context(), c, "f"); err != nil || a.FunctionVersion != "7" ||
		a.RoutingConfig.AdditionalVersionWeights["8"] != 0.1 {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestAnEventSourceIsDisabledByItsUUID(t *testing.T) {
	s := &service{status: http.StatusAccepted, body: `{"UUID":"u1","State":"Disabling"}`}
	c := s.config(t)
	one, err := EnableEventSource(t.Context(), c, "u1", false)
	if err != nil || one.State != "Disabling" || s.last.Method != http.MethodPut || s.sent != `{"Enabled":false}` ||
		s.last.URL.Path != "/2015-03-31/event-source-mappings/u1" {
		t.Errorf("%+v, %v; sent %s %s %s", one, err, s.last.Method, s.last.URL.Path, s.sent)
	}
	if one, err = EventSourceOf(t.Context(), c, "u1"); err != nil || one.UUID != "u1" || s.last.Method != http.MethodGet {
		t.Errorf("%+v, %v", one, err)
	}
}
