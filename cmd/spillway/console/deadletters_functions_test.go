package console

import (
	"encoding/json"
	"strings"
	"testing"
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
