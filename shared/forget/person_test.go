package forget

import (
	"testing"

	"github.com/spillwayhq/spillway/shared/event"
)

func TestAnEventIsThePersonsByEachOfItsIDs(t *testing.T) {
	p := Person{UserIDs: []string{"anna", "anna@old", "7"}, AnonymousIDs: []string{"dev-1"}}
	for text, want := range map[string]string{
		`{"userId":"anna"}`:                                    ByUserID,
		`{"userId":"\u0061nna","anonymousId":"x"}`:             ByUserID,
		`{"userId":7}`:                                         ByUserID,
		`{"userId":"bob"}`:                                     "",
		`{"userId":"Anna"}`:                                    "",
		`{"userId":"anna2"}`:                                   "",
		`{"userId":"dev-1"}`:                                   "", // an anonymousId is not a userId
		`{"anonymousId":"dev-1"}`:                              ByAnonymousID,
		`{"anonymousId":"dev-1","userId":null}`:                ByAnonymousID,
		`{"anonymousId":"dev-1","userId":"bob"}`:               "", // another person on the same device
		`{"anonymousId":"anna"}`:                               "",
		`{"type":"alias","previousId":"anna","userId":"bob"}`:  ByPreviousID,
		`{"type":"alias","previousId":"dev-1","userId":"bob"}`: ByPreviousID,
		`{"type":"alias","previousId":"x","userId":"bob"}`:     "",
		`{"properties":{"userId":"anna"},"userId":"bob"}`:      "",
		`{"userId":"anna","userId":"bob"}`:                     "",
		`{}`:                                                   "",
	} {
		s := event.Summarize([]byte(text))
		if got := p.Match(&s); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
		if shared := p.SharedDevice(&s); shared != (text == `{"anonymousId":"dev-1","userId":"bob"}`) {
			t.Errorf("%s: on a shared device: %v", text, shared)
		}
	}
}

func TestATextNamesAnIDOnlyAsAWhole(t *testing.T) {
	p := Person{UserIDs: []string{"anna", "a\"b"}}
	for text, want := range map[string][2]bool{
		`{"x":"anna"}`:     {true, true},
		`{"x":"joanna"}`:   {false, false},
		`{"x":"anna 2"}`:   {false, true},
		`anna`:             {false, true},
		`user anna: wrong`: {false, true},
		`annabel, anna-2`:  {false, false},
		`annabel and anna`: {false, true},
		`{"x":"a\"b"}`:     {true, false},
		``:                 {false, false},
	} {
		if got := [2]bool{p.Mentions([]byte(text)), p.MentionsRaw([]byte(text))}; got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}
