"""Operations on a whole stack."""
