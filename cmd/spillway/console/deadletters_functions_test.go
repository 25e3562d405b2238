package console

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestAnEventIsShownIndentedAndOneThatWouldBeVeryLongSoIsCut(t *testing.T) {
	t.Parallel()
	if got := prettyOf(json.RawMessage(`{"a":[1,{}]}`)); got.Text != "{\n  \"a\": [\n    1,\n    {}\n  ]\n}" || got.Cut != 0 {
		t.Errorf("%+v", got)
	}
	if got := pretty("no JSON {\x1b"); got.Text != "no JSON {\uFFFD" || got.Cut != 0 {
		t.Errorf("%+v", got)
	}
	const depth, numbers = 9_000, 400_000 // whole it would be 7 GB
	got := pretty(strings.Repeat("[", depth) + strings.Repeat("1,", numbers) + "1" + strings.Repeat("]", depth))
	if len(got.Text) > maxPayload || got.Cut < numbers {
		t.Errorf("%d bytes are shown, and %d left out", len(got.Text), got.Cut)
	}
}

func TestATimeOfAnotherYearSaysSoAndOneInTheFutureHasNoAge(t *testing.T) {
	t.Parallel()
	now := time.Now()
	future := now.AddDate(2, 0, 0)
	if got := (moment{future}).UTC(); !strings.Contains(got, future.UTC().Format("2006")) {
		t.Errorf("%v is shown as %q", future, got)
	}
	if got := ago(future); got != ago(now.Add(time.Hour)) || strings.ContainsAny(got, "-−") {
		t.Errorf("the age of %v is %q", future, got)
	}
}
