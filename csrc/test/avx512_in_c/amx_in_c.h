/* The part of avx512_in_c.h, which includes it, about AMX: the eight tiles of a thread.  Only one kernel file works on them. */
#ifndef PQC_AMX_IN_C_H
#define PQC_AMX_IN_C_H

typedef struct {
    uint8_t palette, first_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} amx_shapes;

static _Thread_local struct {
    amx_shapes shape;
    uint8_t row[8][16][64];
} amx __attribute__((unused));

IN_C void _tile_loadconfig(const void *shapes)
{
    memset(&amx, 0, sizeof amx);
    memcpy(&amx.shape, shapes, sizeof amx.shape);
    if (amx.shape.palette != 1)
        abort();
}

IN_C void _tile_release(void)
{
    memset(&amx, 0, sizeof amx);
}

IN_C void must_be_configured(int tile)
{
    if (amx.shape.palette != 1 || amx.shape.rows[tile] == 0 || amx.shape.rows[tile] > 16 ||
        amx.shape.row_bytes[tile] == 0 || amx.shape.row_bytes[tile] > 64)
        abort();
}

IN_C void _tile_zero(int tile)
{
    must_be_configured(tile);
    memset(amx.row[tile], 0, sizeof amx.row[tile]);
}

IN_C void _tile_loadd(int tile, const void *from, ptrdiff_t stride)
{
    _tile_zero(tile);
    for (int row = 0; row < amx.shape.rows[tile]; row++)
        memcpy(amx.row[tile][row], (const char *)from + row * stride, amx.shape.row_bytes[tile]);
}

IN_C void _tile_stored(int tile, void *to, ptrdiff_t stride)
{
    must_be_configured(tile);
    for (int row = 0; row < amx.shape.rows[tile]; row++)
        memcpy((char *)to + row * stride, amx.row[tile][row], amx.shape.row_bytes[tile]);
}

IN_C int byte_of(uint8_t byte, bool is_signed)
{
    return is_signed ? (int8_t)byte : byte;
}

/* sums += A B, B's rows being four of its matrix's in dwords. */
IN_C void tiles_in_c(int sums, int a, int b, bool a_signed, bool b_signed)
{
    must_be_configured(sums);
    must_be_configured(a);
    must_be_configured(b);
    if (amx.shape.rows[a] != amx.shape.rows[sums] ||
        amx.shape.row_bytes[b] != amx.shape.row_bytes[sums] ||
        amx.shape.row_bytes[a] != 4 * amx.shape.rows[b])
        abort();
    for (int row = 0; row < amx.shape.rows[sums]; row++)
        for (int column = 0; column < amx.shape.row_bytes[sums]; column += 4) {
            uint32_t sum;
            memcpy(&sum, amx.row[sums][row] + column, 4);
            for (int k = 0; k < amx.shape.row_bytes[a]; k++)
                sum += (uint32_t)(byte_of(amx.row[a][row][k], a_signed) *
                                  byte_of(amx.row[b][k / 4][column + k % 4], b_signed));
            memcpy(amx.row[sums][row] + column, &sum, 4);
        }
}

#define _tile_dpbssd(sums, a, b) tiles_in_c(sums, a, b, true, true)
#define _tile_dpbusd(sums, a, b) tiles_in_c(sums, a, b, false, true)
#define _tile_dpbsud(sums, a, b) tiles_in_c(sums, a, b, true, false)

#endif
