package publisher

import (
	"encoding/json"
	"math"
	"math/big"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/segmentio/analytics-go/v3"
)

// random makes messages of everything that analytics-go's types can hold, the odd more often than
// in life.
type random struct{ *rand.Rand }

func (r random) chance(of int) bool { return r.IntN(of) == 0 }

func pick[T any](r random, from ...T) T { return from[r.IntN(len(from))] }

func (r random) text() string {
	return pick(r, "", "a", "Run Started", `"quoted" \ back`, "<script>&amp;</script>", "tab\tnewline\nnul\x00\x1f\x7f",
		"grün 日本 🏃", "\u2028\u2029", "\xff\xfe broken \xc3",
		"\ufffe\uffff", strings.Repeat("long ", r.IntN(60)), "exactly8", "nine byte", "with é in the middle",
		"u"+string(rune(r.IntN(0x3000))))
}

func (r random) word() string {
	return pick(r, "name", "plan", "id", "app", "traits", "ip", "library", "a.b", "ключ", "k"+string(rune('a'+r.IntN(26))),
		"<key>", `"`)
}

func (r random) time() time.Time {
	switch r.IntN(5) {
	case 0:
		return time.Time{}
	case 1:
		return time.Unix(r.Int64N(1e10), r.Int64N(1e9)).UTC()
	case 2:
		return time.Unix(r.Int64N(1e10), 0).In(time.FixedZone("x", r.IntN(50_000)/60*60-25_000/60*60))
	}
	return time.Unix(1_700_000_000+r.Int64N(1e8), r.Int64N(1000)*1e6).UTC()
}

type own struct {
	A int     `json:"a,omitempty"`
	B *string `json:"b"`
	C []any
	d int
}

type named string

type marshaler struct{ text string }

func (m marshaler) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"mine <>": m.text})
}

type textMarshaler struct{ text string }

func (m *textMarshaler) MarshalText() ([]byte, error) { return []byte("text " + m.text), nil }

func (r random) value(depth int) any {
	if depth > 0 && r.chance(3) {
		switch r.IntN(8) {
		case 0:
			return r.object(depth - 1)
		case 1:
			return analytics.Properties(r.object(depth - 1))
		case 2:
			return analytics.Traits(r.object(depth - 1))
		case 3:
			return []map[string]any{r.object(depth - 1), nil}
		case 4:
			return []any{r.value(depth - 1), r.value(depth - 1)}
		case 5:
			return map[string]string{r.word(): r.text(), "x": ""}
		case 6:
			return []analytics.Product{{ID: r.text(), SKU: r.text(), Name: r.text(), Price: r.NormFloat64()}, {}}
		}
		return own{A: r.IntN(2), C: []any{r.value(depth - 1)}, d: 1}
	}
	s := r.text()
	return pick[any](r,
		nil, s, true, false, 0, -1, r.IntN(1000), int8(-8), int16(16), r.Int32(), r.Int64(), int64(math.MinInt64), uint(7),
		uint8(8), uint16(1<<15), r.Uint32(), r.Uint64(),
		uint64(math.MaxUint64), 0.0, math.Copysign(0, -1), r.NormFloat64(), r.ExpFloat64()*1e21, 1e21, 1e20, 1e-6, 1e-7,
		math.MaxFloat64, math.SmallestNonzeroFloat64, float32(0.1), float32(1e-7), float32(1e21),
		float64(1<<53), 1.0, r.time(), time.Duration(r.Int64()), json.Number("12.50"), json.Number(""),
		json.RawMessage(` {"raw" : [1, 2]} `), []byte(s), []byte(nil), []string{s, ""},
		[]string(nil), []int{1, -2}, []int{}, []float64{1.5, 2}, []any{}, []any(nil), map[string]any(nil), map[string]any{},
		map[string]string(nil), map[int]string{2: s, 1: ""}, map[string]int{"n": 1},
		&s, (*string)(nil), named(s), marshaler{s}, &marshaler{s}, (*marshaler)(nil), &textMarshaler{s},
		map[textKey]int{{1}: 1}, own{}, &own{B: &s}, struct{}{}, [2]int{1, 2},
		net.IPv4(1, 2, 3, 4), netip.MustParseAddr("2001:db8::1"), big.NewInt(r.Int64()),
		analytics.Product{SKU: s, Price: 0.5}, []analytics.Product(nil), analytics.Properties(nil), any(nil), []*int{nil},
		[]time.Time{r.time()}, [][]string{{s}}, time.Second)
}

type textKey struct{ n int }

func (k textKey) MarshalText() ([]byte, error) { return []byte("key"), nil }

func (r random) object(depth int) map[string]any {
	if r.chance(10) {
		return nil
	}
	m := map[string]any{}
	for range r.IntN(6) {
		m[r.word()] = r.value(depth)
	}
	return m
}

func (r random) context() *analytics.Context {
	if r.chance(3) {
		return nil
	}
	c := &analytics.Context{}
	maybe := func(set func()) {
		if r.chance(3) {
			set()
		}
	}
	maybe(func() {
		c.App = analytics.AppInfo{Name: r.text(), Version: r.text(), Build: r.text(), Namespace: r.text()}
	})
	maybe(func() {
		c.Campaign = analytics.CampaignInfo{Name: r.text(), Source: r.text(), Medium: r.text(), Term: r.text(),
			Content: r.text()}
	})
	maybe(func() {
		c.Device = analytics.DeviceInfo{Id: r.text(), Manufacturer: r.text(), Model: r.text(), Name: r.text(), Type: r.text(),
			Version: r.text(), AdvertisingID: r.text()}
	})
	maybe(func() { c.Library = analytics.LibraryInfo{Name: r.text(), Version: r.text()} })
	maybe(func() {
		c.Location = analytics.LocationInfo{City: r.text(), Country: r.text(), Region: r.text(), Latitude: r.NormFloat64(),
			Longitude: pick(r, 0, math.Copysign(0, -1)), Speed: r.ExpFloat64()}
	})
	maybe(func() { c.Location.Latitude = math.Copysign(0, -1) })
	maybe(func() {
		c.Network = analytics.NetworkInfo{Bluetooth: r.chance(2), Cellular: r.chance(2), WIFI: r.chance(2), Carrier: r.text()}
	})
	maybe(func() { c.OS = analytics.OSInfo{Name: r.text(), Version: r.text()} })
	maybe(func() {
		c.Page = analytics.PageInfo{Hash: r.text(), Path: r.text(), Referrer: r.text(), Search: r.text(), Title: r.text(),
			URL: r.text()}
	})
	maybe(func() {
		c.Referrer = analytics.ReferrerInfo{Type: r.text(), Name: r.text(), URL: r.text(), Link: r.text()}
	})
	maybe(func() {
		c.Screen = analytics.ScreenInfo{Density: r.IntN(2), Width: r.IntN(2000) - 5, Height: r.IntN(2)}
	})
	maybe(func() {
		c.IP = pick(r, net.IP{}, net.IPv4(1, 2, 3, 4), net.ParseIP("2001:db8::1"), net.IP{10, 0, 0, 1},
			net.ParseIP("::ffff:1.2.3.4"))
	})
	maybe(func() { c.Direct = r.chance(2) })
	maybe(func() { c.Locale, c.GroupID, c.Timezone, c.UserAgent = r.text(), r.text(), r.text(), r.text() })
	maybe(func() { c.Traits = r.object(1) })
	maybe(func() { c.Extra = r.object(2) })
	return c
}

func (r random) message() analytics.Message {
	anonymous, user := "", r.text()
	if user == "" || r.chance(2) {
		anonymous = "a" + r.text()
	}
	id, at, context, integrations := "m-"+r.text(), r.time(), r.context(), analytics.Integrations(r.object(1))
	if at.Equal(time.Time{}) {
		at = time.Unix(1, 0)
	}
	switch r.IntN(7) {
	case 0:
		return analytics.Identify{MessageId: id, AnonymousId: anonymous, UserId: user, Timestamp: at, Context: context,
			Traits: r.object(3), Integrations: integrations}
	case 1:
		return analytics.Page{MessageId: id, AnonymousId: anonymous, UserId: user, Name: r.text(), Timestamp: at,
			Context: context, Properties: r.object(3), Integrations: integrations}
	case 2:
		return analytics.Screen{MessageId: id, AnonymousId: anonymous, UserId: user, Name: r.text(), Timestamp: at,
			Context: context, Properties: r.object(3), Integrations: integrations}
	case 3:
		return analytics.Group{MessageId: id, AnonymousId: anonymous, UserId: user, GroupId: "g" + r.text(), Timestamp: at,
			Context: context, Traits: r.object(3), Integrations: integrations}
	case 4:
		return analytics.Alias{MessageId: id, UserId: "u" + user, PreviousId: "p" + r.text(), Timestamp: at, Context: context,
			Integrations: integrations}
	case 5:
		return &analytics.Track{Type: "overwritten", MessageId: id, AnonymousId: anonymous, UserId: user,
			Event: "E" + r.text(), Timestamp: at, Context: context, Properties: r.object(3)}
	}
	return analytics.Track{MessageId: id, AnonymousId: anonymous, UserId: user, Event: "E" + r.text(), Timestamp: at,
		Context: context, Properties: r.object(3), Integrations: integrations}
}
