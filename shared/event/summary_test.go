package event

import "testing"

func TestASummaryNamesAnEventAndItsUser(t *testing.T) {
	for text, want := range map[string]Summary{
		`{"type":"track","event":"Paid \"now\"","userId":"anna","anonymousId":"a-1","messageId":"m"}`: {
			Type: "track", Name: `Paid "now"`, UserID: "anna", AnonymousID: "a-1", MessageID: "m"},
		`{"type":"page","name":"Home","anonymousId":7}`:        {Type: "page", Name: "Home", AnonymousID: "7"},
		`{"type":"identify","name":"no page","userId":null}`:   {Type: "identify"},
		`{"type":"alias","previousId":"a\u006ena","userId":1}`: {Type: "alias", PreviousID: "anna", UserID: "1"},
		`{"userId":"first","userId":"last"}`:                   {UserID: "last"},
		`{"properties":{"userId":"nested"}}`:                   {},
		`{"userId":"cut","event":"in the mid`:                  {UserID: "cut"},
		`["userId","anna"]`:                                    {},
		``:                                                     {},
	} {
		if got := Summarize([]byte(text)); got != want {
			t.Errorf("%s: got %+v, want %+v", text, got, want)
		}
	}
}

func TestTheUserOfASummaryIsTheUserIdBeforeTheAnonymousId(t *testing.T) {
	for _, c := range []struct {
		of   Summary
		want string
	}{{Summary{UserID: "u", AnonymousID: "a"}, "u"}, {Summary{AnonymousID: "a"}, "a"}, {Summary{PreviousID: "p"}, ""}} {
		if got := c.of.User(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.of, got, c.want)
		}
	}
}

func FuzzSummarize(f *testing.F) {
	f.Add([]byte(`{"type":"track","event":"x","userId":"u"}`))
	f.Add([]byte(`{"userId":"\ud800"`))
	f.Fuzz(func(_ *testing.T, raw []byte) { Summarize(raw) })
}
