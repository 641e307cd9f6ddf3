package driver

import (
	"testing"

	"github.com/stretchr/testify/require"
)

type named struct {
	Driver
	info Info
}

func (n named) Info() Info { return n.info }

func TestRegister(t *testing.T) {
	defer func(before []Driver) { registered = before }(registered)
	registered = nil
	for _, i := range []Info{{Name: "b"}, {Name: "c", Default: true}, {Name: "a", AfterDefault: true}} {
		Register(named{info: i})
	}
	var names []string
	for _, d := range All() {
		names = append(names, d.Info().Name)
	}
	require.Equal(t, []string{"c", "a", "b"}, names)

	for _, tt := range []struct {
		info Info
		want string
	}{
		{Info{}, "gpu/driver: a driver without a name was registered"},
		{Info{Name: "b"}, `gpu/driver: two drivers are called "b"`},
		{Info{Name: "d", Default: true}, `gpu/driver: both "c" and "d" want to be the default`},
	} {
		require.PanicsWithValue(t, tt.want, func() { Register(named{info: tt.info}) })
	}
	require.Len(t, All(), 3)
}
